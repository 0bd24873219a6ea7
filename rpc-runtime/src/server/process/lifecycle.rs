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
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::middleware::BoxFuture;
use crate::server::panic::CatchPanic;
use crate::sync::MutexExt as _;

/// Time for all readiness checks together. The timeouts of probes are rarely longer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Time for which an outcome is reused, so that frequent requests of `/readyz` do not run the
/// checks each time.
const CACHE_TTL: Duration = Duration::from_millis(250);

/// Time for which a probe waits for checks that are slow, if an earlier outcome is known. Less than
/// the patience of any probe.
const PATIENCE: Duration = Duration::from_millis(100);

/// The outcome of all readiness checks together.
type Outcome = Result<(), String>;

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
    checks: Arc<[ReadinessCheck]>,
    outcomes: Arc<Mutex<Outcomes>>,
    /// Cancelled when a stopping server no longer waits for incomplete requests.
    incomplete_ended: CancellationToken,
    /// Cancelled when a stopping server ends its streams.
    streams_ended: CancellationToken,
}

/// The outcomes of the readiness checks.
#[derive(Default)]
struct Outcomes {
    last: Option<(Instant, Outcome)>,
    /// The outcome of the checks that are running. Closed without one if their task ends early.
    running: Option<watch::Receiver<Option<Outcome>>>,
}

impl Lifecycle {
    pub(crate) fn new(checks: Vec<ReadinessCheck>) -> Self {
        Self {
            phase: AtomicU8::new(Phase::Starting as u8),
            checks: checks.into(),
            outcomes: Arc::default(),
            incomplete_ended: CancellationToken::new(),
            streams_ended: CancellationToken::new(),
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

    /// Ends all streams, now and later.
    pub(crate) fn end_streams(&self) {
        self.streams_ended.cancel();
    }

    /// Returns the token that [`end_streams`](Self::end_streams) cancels.
    pub(crate) fn streams_ended(&self) -> &CancellationToken {
        &self.streams_ended
    }

    /// Succeeds if the server is ready to receive calls.
    ///
    /// # Errors
    ///
    /// The reason why it is not ready, for an operator.
    ///
    /// # Cancellation
    ///
    /// The checks go on if the future is dropped. A probe that is less patient than the checks gets
    /// their outcome the next time.
    pub(crate) async fn ready(&self) -> Outcome {
        if self.is_at_least(Phase::LameDuck) {
            return Err("the server is stopping".to_owned());
        }
        if !self.is_at_least(Phase::Serving) {
            return Err("the server is starting".to_owned());
        }
        if self.checks.is_empty() {
            return Ok(());
        }
        let (last, mut running) = {
            let mut outcomes = self.outcomes.lock_unpoisoned();
            match &outcomes.last {
                Some((at, outcome)) if at.elapsed() < CACHE_TTL => return outcome.clone(),
                _ => {}
            }
            let running = match &outcomes.running {
                // Without its task, as after the end of a runtime, it would never end.
                Some(running) if running.has_changed().is_ok() => running.clone(),
                _ => self.start_checks(&mut outcomes),
            };
            (outcomes.last.clone(), running)
        };
        let finished = running.wait_for(Option::is_some);
        let finished = match &last {
            None => finished.await,
            Some((_, outcome)) => match timeout(PATIENCE, finished).await {
                Ok(finished) => finished,
                Err(_) => return outcome.clone(),
            },
        };
        match finished.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            _ => Err("the readiness checks ended without a result".to_owned()),
        }
    }

    /// Runs the checks on a task, which outlives the request that needs their outcome.
    fn start_checks(&self, outcomes: &mut Outcomes) -> watch::Receiver<Option<Outcome>> {
        let (sender, running) = watch::channel(None);
        outcomes.running = Some(running.clone());
        let (checks, outcomes) = (Arc::clone(&self.checks), Arc::clone(&self.outcomes));
        // Ends after `CHECK_TIMEOUT` at the latest.
        crate::spawn(async move {
            let outcome = check(&checks).await;
            let mut outcomes = outcomes.lock_unpoisoned();
            outcomes.last = Some((Instant::now(), outcome.clone()));
            outcomes.running = None;
            drop(outcomes);
            // All requests that wanted it may have ended.
            drop(sender.send(Some(outcome)));
        });
        running
    }
}

async fn check(checks: &[ReadinessCheck]) -> Outcome {
    let mut running = "";
    let all = async {
        for check in checks {
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

    /// Waits this long, in milliseconds.
    async fn pass(time: u64) {
        let time = Duration::from_millis(time);
        let _elapsed = timeout(time, std::future::pending::<()>()).await;
    }

    /// Returns the outcome for a probe that waits this long at most, in milliseconds.
    async fn probe(lifecycle: &Lifecycle, patience: u64) -> Option<Outcome> {
        let patience = Duration::from_millis(patience);
        timeout(patience, lifecycle.ready()).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn an_impatient_probe_gets_the_outcome_next_time() {
        // Each check takes longer than the probe waits; the second one fails.
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        let lifecycle = serving(vec![ReadinessCheck::new("store".to_owned(), move || {
            let run = counted.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::time::sleep(Duration::from_millis(700)).await;
                match run {
                    1 => Err(Error::new(Code::Unavailable, "down")),
                    _ => Ok(()),
                }
            }
        })]);
        assert_eq!(probe(&lifecycle, 500).await, None, "the first one");
        for expected in [Ok(()), Err("store: unavailable: down"), Ok(())] {
            pass(10_000).await;
            let outcome = probe(&lifecycle, 500).await.unwrap();
            assert_eq!(outcome, expected.map_err(str::to_owned));
        }
        assert_eq!(runs.load(Ordering::Relaxed), 4);
        // A patient one waits for the first outcome.
        let slow = ReadinessCheck::new("slow".to_owned(), async || {
            pass(700).await;
            Ok(())
        });
        assert_eq!(probe(&serving(vec![slow]), 900).await, Some(Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_is_reported_to_impatient_probes() {
        let hangs = ReadinessCheck::new("store".to_owned(), std::future::pending);
        let lifecycle = serving(vec![hangs]);
        assert_eq!(probe(&lifecycle, 500).await, None);
        for _ in 0..3 {
            pass(10_000).await;
            let outcome = probe(&lifecycle, 500).await.unwrap();
            assert_eq!(outcome.unwrap_err(), "store: no result within 1s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn fast_checks_are_reported_at_once() {
        let up = Arc::new(AtomicUsize::new(0));
        let seen = up.clone();
        let lifecycle = serving(vec![ReadinessCheck::new("store".to_owned(), move || {
            let is_up = seen.load(Ordering::Relaxed) == 1;
            async move {
                match is_up {
                    true => Ok(()),
                    false => Err(Error::new(Code::Unavailable, "down")),
                }
            }
        })]);
        assert!(lifecycle.ready().await.is_err());
        up.store(1, Ordering::Relaxed);
        pass(300).await;
        assert_eq!(lifecycle.ready().await, Ok(()));
    }
}
