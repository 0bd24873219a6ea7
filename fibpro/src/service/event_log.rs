//! Limits the log lines about events that callers cause as often as they like.
//!
//! Each origin, such as an address or a user, has lines of its own, so that the events of one do
//! not hide those of another.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// Length of a window.
const WINDOW: Duration = Duration::from_secs(10);

/// Maximum number of lines of an origin in a window.
const LINES: u32 = 30;

/// Maximum number of lines of an origin about one subject in a window.
const SUBJECT_LINES: u32 = 10;

/// Number of origins with lines of their own in a window. Others share those of one.
const MAX_ORIGINS: usize = 1024;

/// Number of origins whose omitted events are counted in a line of their own at the end of a
/// window.
const MAX_NAMED: usize = 10;

/// Selects the first events of each window for the log, by their origin, and logs the number of
/// the others at the end of the window.
#[derive(Debug, Clone)]
pub(super) struct EventLog<O> {
    state: Arc<Mutex<State<O>>>,
    /// Subjects are known by their hash, so that long ones take no more memory.
    subjects: RandomState,
}

#[derive(Debug)]
struct State<O> {
    events: &'static str,
    name: fn(&O) -> String,
    end: Option<Instant>,
    /// Whether a task is going to end the window.
    is_ending: bool,
    origins: HashMap<O, Events>,
    /// Those of all further origins.
    others: Events,
}

/// The events of an origin in a window.
#[derive(Debug, Default)]
struct Events {
    logged: u32,
    omitted: u64,
    /// Numbers of logged events by subject: at most as many subjects as lines.
    subjects: HashMap<u64, u32>,
}

impl<O: Eq + Hash + Clone + Send + 'static> EventLog<O> {
    /// Creates a log of `events`, such as `failed logins`. `name` names an origin in a text, such
    /// as `from 192.0.2.1`.
    pub(super) fn new(events: &'static str, name: fn(&O) -> String) -> Self {
        let state = State {
            events,
            name,
            end: None,
            is_ending: false,
            origins: HashMap::new(),
            others: Events::default(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            subjects: RandomState::new(),
        }
    }

    /// Counts an event, and returns whether it is to be logged. Spawns a task for the events that
    /// are not, with the context of the first one.
    pub(super) fn record(&self, origin: &O, subject: &str) -> bool {
        let subject = self.subjects.hash_one(subject);
        let now = Instant::now();
        let mut state = self.state.lock();
        let end = match state.end {
            Some(end) if now < end || state.is_ending => end,
            _ => {
                state.clear();
                *state.end.insert(now + WINDOW)
            }
        };
        let is_logged = state.of(origin).record(subject);
        if !is_logged && !std::mem::replace(&mut state.is_ending, true) {
            let log = Arc::clone(&self.state);
            drop(rpc_runtime::spawn(async move {
                sleep_until(end).await;
                log.lock().end_window();
            }));
        }
        is_logged
    }
}

impl<O: Eq + Hash + Clone> State<O> {
    fn of(&mut self, origin: &O) -> &mut Events {
        if !self.origins.contains_key(origin) {
            if self.origins.len() >= MAX_ORIGINS {
                return &mut self.others;
            }
            self.origins.insert(origin.clone(), Events::default());
        }
        self.origins.entry(origin.clone()).or_default()
    }

    /// Logs the numbers of omitted events: those of the origins with the most, and of all others.
    fn end_window(&mut self) {
        let origins = self.origins.iter();
        let mut omitted: Vec<_> = origins
            .map(|(origin, events)| (events.omitted, origin))
            .filter(|(omitted, _)| *omitted > 0)
            .collect();
        omitted.sort_unstable_by_key(|(omitted, _)| std::cmp::Reverse(*omitted));
        let named = omitted.len().min(MAX_NAMED);
        let events = self.events;
        for (more, origin) in &omitted[..named] {
            let origin = (self.name)(origin);
            tracing::warn!("{more} more {events} {origin} within {WINDOW:?}");
        }
        let rest = omitted[named..].iter().map(|(omitted, _)| omitted);
        let more = rest.sum::<u64>() + self.others.omitted;
        if more > 0 {
            tracing::warn!("{more} more {events} of others within {WINDOW:?}");
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.end = None;
        self.is_ending = false;
        self.origins.clear();
        self.others = Events::default();
    }
}

impl Events {
    /// Counts an event. Returns whether it is to be logged.
    fn record(&mut self, subject: u64) -> bool {
        let of_subject = self.subjects.get(&subject).copied().unwrap_or_default();
        if self.logged >= LINES || of_subject >= SUBJECT_LINES {
            self.omitted += 1;
            return false;
        }
        self.logged += 1;
        self.subjects.insert(subject, of_subject + 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn log() -> EventLog<u32> {
        EventLog::new("events", |origin| format!("of {origin}"))
    }

    fn logged(log: &EventLog<u32>, origin: u32, subjects: &[&str]) -> usize {
        let subjects = subjects.iter();
        subjects
            .filter(|subject| log.record(&origin, subject))
            .count()
    }

    /// Waits until the task of the window has counted the rest.
    async fn end_window(log: &EventLog<u32>) {
        while log.state.lock().end.is_some() {
            advance(WINDOW / 4).await;
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_events_of_a_window_are_logged() {
        let log = log();
        assert_eq!(logged(&log, 1, &["ada"; 100]), 10);
        assert_eq!(log.state.lock().origins[&1].omitted, 90);
        advance(WINDOW / 2).await;
        assert_eq!(logged(&log, 1, &["ada"; 100]), 0);
        // A new window begins with the next event.
        end_window(&log).await;
        assert_eq!(logged(&log, 1, &["ada"; 100]), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn an_origin_hides_neither_others_nor_subjects() {
        let log = log();
        logged(&log, 1, &["ada"; 1000]);
        assert_eq!(logged(&log, 1, &["bob", "eve"]), 2);
        assert_eq!(logged(&log, 2, &["ada", "ada"]), 2);
        // Many subjects of one origin hide those of no other origin.
        let many: Vec<_> = (0..1000).map(|n| n.to_string()).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(logged(&log, 3, &many), 30);
        assert_eq!(logged(&log, 4, &["ada"]), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_of_a_window_is_bounded() {
        let log = log();
        let origins = u32::try_from(MAX_ORIGINS).unwrap();
        let mut lines = 0;
        for origin in 0..3 * origins {
            lines += logged(&log, origin, &["a", "b"]);
        }
        assert_eq!(lines, 2 * MAX_ORIGINS + 20);
        {
            let state = log.state.lock();
            assert_eq!(state.origins.len(), MAX_ORIGINS);
            assert_eq!(state.others.omitted, 4 * u64::from(origins) - 20);
            assert!(state.others.subjects.len() <= 30);
        }
        // Those of the window before take no memory.
        end_window(&log).await;
        assert!(log.state.lock().origins.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn few_events_are_all_logged() {
        let log = log();
        for _ in 0..100 {
            assert!(log.record(&1, "ada"));
            advance(WINDOW / 10).await;
        }
    }
}
