//! Waits for events and conditions. Tests never depend on speed.

use std::sync::mpsc;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{pause, resume, sleep, timeout};

/// Timeout of a wait for an event; a longer wait means that the event never happens.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// Interval between two checks of a condition.
const POLL: Duration = Duration::from_millis(5);

/// Waits for a future.
///
/// # Panics
///
/// After [`TIMEOUT`].
pub async fn within<F: Future>(future: F) -> F::Output {
    let result = timeout(TIMEOUT, future).await;
    result.expect("the test waits for something that does not happen")
}

/// Waits until a condition holds, for example of files or of another process.
///
/// # Panics
///
/// After [`TIMEOUT`].
pub async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            #[allow(
                clippy::disallowed_methods,
                reason = "the condition sends no event; bounded by the caller"
            )]
            sleep(POLL).await;
        }
    };
    within(waiting).await;
}

/// A stopped clock of a runtime with one thread: timers do not fire, sockets work.
#[derive(Debug)]
pub struct StoppedClock(#[allow(dead_code, reason = "its end ends the task")] mpsc::Sender<()>);

impl StoppedClock {
    /// Stops the clock until the value is dropped, at most for [`TIMEOUT`].
    pub async fn start() -> Self {
        let (end, ended) = mpsc::channel::<()>();
        pause();
        // While a blocking task runs, a paused clock does not advance by itself.
        tokio::task::spawn_blocking(move || {
            let _ = ended.recv_timeout(TIMEOUT);
        });
        yield_now().await;
        Self(end)
    }
}

impl Drop for StoppedClock {
    fn drop(&mut self) {
        resume();
    }
}
