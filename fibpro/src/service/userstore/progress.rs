//! Reports on work at the start that may take long.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, interval_at};

/// Time between two reports.
const PERIOD: Duration = Duration::from_secs(2);

/// Receiver of reports, as for the terminal. Each report is one line without its end.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(&str) + Send + Sync>);

impl Progress {
    /// Creates a receiver that calls a function.
    pub fn new(report: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }

    /// Waits for `work`, and reports `state` every two seconds until it is done. `state` is called
    /// with the time since the start.
    pub(super) async fn during<T>(
        &self,
        work: impl Future<Output = T>,
        state: impl Fn(Duration) -> String,
    ) -> T {
        let mut work = pin!(work);
        let start = Instant::now();
        let mut ticks = interval_at(start + PERIOD, PERIOD);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                _ = ticks.tick() => (self.0)(&state(start.elapsed())),
            }
        }
    }
}

/// Ignores all reports.
impl Default for Progress {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// Returns the reports during work of this length.
    async fn reports(length: Duration) -> Vec<String> {
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&said);
        let progress = Progress::new(move |text| kept.lock().push(text.to_owned()));
        let work = tokio::time::sleep(length);
        let state = |elapsed: Duration| format!("{} s", elapsed.as_secs());
        progress.during(work, state).await;
        said.lock().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn long_work_is_reported_and_short_work_is_not() {
        assert_eq!(reports(Duration::from_secs(7)).await, ["2 s", "4 s", "6 s"]);
        assert_eq!(reports(Duration::from_secs(3)).await, ["2 s"]);
        assert!(reports(Duration::from_secs(1)).await.is_empty());
        assert!(reports(Duration::ZERO).await.is_empty());
    }
}
