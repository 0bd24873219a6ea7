//! The phases of a server from start to stop, and its readiness to receive calls.
//!
//! ```text
//! Starting → Serving → LameDuck → GoingAway → Closing
//!                      │          │          └ idle connections are closed, running calls get `drain_timeout`,
//!                      │          │            incomplete requests 3 s
//!                      │          └ responses carry `Connection: close`, HTTP/2 sends GOAWAY, no new connections
//!                      └ `/readyz` reports not ready, calls are served, for `lame_duck`
//! ```

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::middleware::BoxFuture;
use crate::server::call::panic::CatchPanic;

/// Time for all readiness checks together. The timeouts of probes are rarely longer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Time for which an outcome is reused, so that frequent requests of `/readyz` do not run the
/// checks each time.
const CACHE_TTL: Duration = Duration::from_millis(250);

/// The phase of a server. Later phases are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    Starting,
    Serving,
    LameDuck,
    GoingAway,
    Closing,
}

/// A condition that must hold for a server to be ready.
pub(crate) struct ReadinessCheck {
    name: String,
    run: Box<dyn Fn() -> BoxFuture<Result<()>> + Send + Sync>,
}

impl ReadinessCheck {
    pub(crate) fn new<F, Fut>(name: String, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        Self {
            name,
            run: Box::new(move || Box::pin(check())),
        }
    }

    async fn run(&self) -> Result<(), String> {
        // User code: the closure itself may panic as well.
        let outcome = CatchPanic::new(async { (self.run)().await }).await;
        outcome.flatten().map_err(|error| self.text(&error))
    }

    fn text(&self, error: &Error) -> String {
        format!("{}: {error}", self.name)
    }
}

/// The current phase of a server, and its readiness checks.
pub(crate) struct Lifecycle {
    phase: AtomicU8,
    checks: Vec<ReadinessCheck>,
    /// The last outcome of the checks. Locked while they run, so that concurrent requests share one
    /// outcome.
    outcome: Mutex<Option<(Instant, Result<(), String>)>>,
    /// Cancelled when a stopping server no longer waits for incomplete requests.
    incomplete_ended: CancellationToken,
}

impl Lifecycle {
    pub(crate) fn new(checks: Vec<ReadinessCheck>) -> Self {
        Self {
            phase: AtomicU8::new(Phase::Starting as u8),
            checks,
            outcome: Mutex::new(None),
            incomplete_ended: CancellationToken::new(),
        }
    }

    /// Advances to a phase. An earlier phase than the current one has no effect.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn is_at_least(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) >= phase as u8
    }

    /// Ends the reading of all requests that are incomplete, now and later.
    pub(crate) fn end_incomplete(&self) {
        self.incomplete_ended.cancel();
    }

    /// Returns the token that [`end_incomplete`](Self::end_incomplete) cancels.
    pub(crate) fn incomplete_ended(&self) -> &CancellationToken {
        &self.incomplete_ended
    }

    /// Succeeds if the server is ready to receive calls.
    ///
    /// # Errors
    ///
    /// The reason why it is not ready, for an operator.
    ///
    /// # Cancellation
    ///
    /// Dropping the future drops the running check; the next request runs all checks again.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        if self.is_at_least(Phase::LameDuck) {
            return Err("the server is stopping".to_owned());
        }
        if !self.is_at_least(Phase::Serving) {
            return Err("the server is starting".to_owned());
        }
        if self.checks.is_empty() {
            return Ok(());
        }
        let mut last = self.outcome.lock().await;
        match &*last {
            Some((at, outcome)) if at.elapsed() < CACHE_TTL => outcome.clone(),
            _ => {
                let outcome = self.check().await;
                *last = Some((Instant::now(), outcome.clone()));
                outcome
            }
        }
    }

    async fn check(&self) -> Result<(), String> {
        let mut running = "";
        let all = async {
            for check in &self.checks {
                running = &check.name;
                check.run().await?;
            }
            Ok(())
        };
        match timeout(CHECK_TIMEOUT, all).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("{running}: no result within {CHECK_TIMEOUT:?}")),
        }
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle")
            .field("phase", &self.phase)
            .field("checks", &self.checks.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::Code;

    fn serving(checks: Vec<ReadinessCheck>) -> Lifecycle {
        let lifecycle = Lifecycle::new(checks);
        lifecycle.enter(Phase::Serving);
        lifecycle
    }

    #[tokio::test]
    async fn only_a_serving_server_is_ready() {
        let lifecycle = Lifecycle::new(Vec::new());
        for (phase, ready) in [
            (Phase::Starting, false),
            (Phase::Serving, true),
            (Phase::LameDuck, false),
            (Phase::Serving, false),
            (Phase::Closing, false),
        ] {
            lifecycle.enter(phase);
            assert_eq!(lifecycle.ready().await.is_ok(), ready, "{phase:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_panicked_or_hung_check_is_reported() {
        let fails = ReadinessCheck::new("store".to_owned(), async || {
            Err(Error::new(Code::Unavailable, "down"))
        });
        assert_eq!(
            serving(vec![fails]).ready().await.unwrap_err(),
            "store: unavailable: down"
        );
        let panics =
            ReadinessCheck::new("store".to_owned(), || -> std::future::Ready<Result<()>> {
                panic!("a check panics")
            });
        let text = serving(vec![panics]).ready().await.unwrap_err();
        assert!(text.starts_with("store: internal"), "{text}");
        let fine = ReadinessCheck::new("fine".to_owned(), async || Ok(()));
        let hangs = ReadinessCheck::new("store".to_owned(), std::future::pending);
        assert_eq!(
            serving(vec![fine, hangs]).ready().await.unwrap_err(),
            "store: no result within 1s"
        );
    }

    #[tokio::test]
    async fn concurrent_requests_share_one_outcome() {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        let lifecycle = serving(vec![ReadinessCheck::new("store".to_owned(), move || {
            counted.fetch_add(1, Ordering::Relaxed);
            async {
                tokio::task::yield_now().await;
                Ok(())
            }
        })]);
        let (a, b) = tokio::join!(lifecycle.ready(), lifecycle.ready());
        assert_eq!((a, b), (Ok(()), Ok(())));
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }
}
