//! Limits the log lines about events that callers cause as often as they like.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// Length of a window.
const WINDOW: Duration = Duration::from_secs(10);

/// Maximum number of lines in a window.
const LINES: u64 = 10;

/// Selects the first events of each window for the log, and logs the number of the others at the
/// end of the window.
#[derive(Debug, Clone)]
pub(super) struct EventLog(Arc<Mutex<Window>>);

#[derive(Debug)]
struct Window {
    events: &'static str,
    end: Option<Instant>,
    count: u64,
}

impl EventLog {
    /// Creates a log of `events`, such as `failed logins`.
    pub(super) fn new(events: &'static str) -> Self {
        let window = Window {
            events,
            end: None,
            count: 0,
        };
        Self(Arc::new(Mutex::new(window)))
    }

    /// Counts an event, and returns whether it is to be logged. Spawns a task for the events that
    /// are not, with the context of the first one.
    pub(super) fn record(&self) -> bool {
        let now = Instant::now();
        let mut window = self.0.lock();
        let end = match window.end {
            Some(end) if now < end || window.count > LINES => end,
            _ => {
                window.count = 0;
                now + WINDOW
            }
        };
        window.end = Some(end);
        window.count += 1;
        if window.count == LINES + 1 {
            let log = self.clone();
            drop(rpc_runtime::spawn(async move {
                sleep_until(end).await;
                log.end_window();
            }));
        }
        window.count <= LINES
    }

    fn end_window(&self) {
        let mut window = self.0.lock();
        let more = window.count.saturating_sub(LINES);
        window.count = 0;
        window.end = None;
        tracing::warn!("{more} more {} within {WINDOW:?}", window.events);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_events_of_a_window_are_logged() {
        let log = EventLog::new("events");
        let logged = |log: &EventLog| (0..100).filter(|_| log.record()).count();
        assert_eq!(logged(&log), 10);
        assert_eq!(log.0.lock().count, 100);
        advance(WINDOW / 2).await;
        assert_eq!(logged(&log), 0);
        // The task counts the rest, and a new window begins with the next event.
        while log.0.lock().end.is_some() {
            advance(WINDOW / 4).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(logged(&log), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn few_events_are_all_logged() {
        let log = EventLog::new("events");
        for _ in 0..100 {
            assert!(log.record());
            advance(WINDOW / 10).await;
        }
    }
}
