//! Remembers the names with several wrong passwords.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::normal::nfc;

/// Number of wrong passwords that make a name suspect. The user store delays guesses after more.
pub(super) const SUSPECT: u32 = 5;

/// Time after the last wrong password after which a name is forgotten.
pub(super) const MEMORY: Duration = Duration::from_secs(600);

/// Maximum number of names.
const MAX_NAMES: usize = 16_384;

/// Counts wrong passwords by name. A name without any takes no memory.
pub(super) struct Suspects {
    names: Mutex<HashMap<NameKey, Wrong>>,
    /// Notifies of each name that becomes suspect.
    news: Notify,
    keys: RandomState,
}

/// The hash of a name, stored in place of the name, so that long names take no more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NameKey(u64);

struct Wrong {
    count: u32,
    last: Instant,
}

impl Suspects {
    pub(super) fn new() -> Self {
        Self {
            names: Mutex::default(),
            news: Notify::new(),
            keys: RandomState::new(),
        }
    }

    /// Returns the key of a name, the same for all its spellings.
    pub(super) fn key(&self, username: &str) -> NameKey {
        NameKey(self.keys.hash_one(nfc(username)))
    }

    pub(super) fn contains(&self, key: NameKey) -> bool {
        self.lock().get(&key).is_some_and(Wrong::is_suspect)
    }

    /// Waits until a name is suspect.
    pub(super) async fn until(&self, key: NameKey) {
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            if self.contains(key) {
                return;
            }
            news.await;
        }
    }

    /// Counts a wrong password.
    pub(super) fn was_wrong(&self, key: NameKey) {
        let mut names = self.lock();
        if names.len() >= MAX_NAMES && !names.contains_key(&key) {
            names.retain(|_, wrong| wrong.is_suspect());
            if names.len() > MAX_NAMES / 2 {
                names.clear();
            }
        }
        let now = Instant::now();
        let wrong = names.entry(key).or_insert(Wrong {
            count: 0,
            last: now,
        });
        if wrong.last.elapsed() >= MEMORY {
            wrong.count = 0;
        }
        wrong.count = wrong.count.saturating_add(1);
        wrong.last = now;
        if wrong.count == SUSPECT {
            self.news.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NameKey, Wrong>> {
        self.names.lock()
    }
}

impl Wrong {
    fn is_suspect(&self) -> bool {
        self.count >= SUSPECT && self.last.elapsed() < MEMORY
    }
}

impl fmt::Debug for Suspects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suspects")
            .field("names", &self.lock().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn suspect_names_are_bounded_and_forgotten() {
        let suspects = Suspects::new();
        let ada = suspects.key("ada");
        for n in 0..SUSPECT {
            assert!(!suspects.contains(ada), "{n}");
            suspects.was_wrong(ada);
        }
        suspects.until(ada).await;
        for n in 0..3 * MAX_NAMES {
            suspects.was_wrong(suspects.key(&n.to_string()));
            assert!(suspects.lock().len() <= MAX_NAMES);
        }
        assert!(suspects.contains(ada));
        tokio::time::advance(MEMORY).await;
        assert!(!suspects.contains(ada));
        suspects.was_wrong(ada);
        assert!(!suspects.contains(ada));
        assert_eq!(suspects.key("jörg"), suspects.key("jo\u{308}rg"));
    }
}
