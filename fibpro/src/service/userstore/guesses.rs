//! Delays guesses at the password of one name.
//!
//! Guesses are delayed and never refused, so that they do not lock out the owner of the name. The
//! limits are the same for names that do not exist.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rpc_runtime::{Code, Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::sync::MutexExt as _;

/// Maximum number of concurrent verifications of one name; others wait in the order of their
/// arrival.
const AT_ONCE: usize = 4;

/// Number of wrong passwords without a delay.
const FREE: u32 = 10;

/// Delay between two verifications of a name after [`FREE`] wrong passwords. It grows with their
/// number, up to ten times this.
const DELAY: Duration = Duration::from_millis(100);

/// Number of wrong passwords by which the delay grows by [`DELAY`].
const STEP: u32 = 100;

/// Time after the last wrong password after which a name is forgotten.
const MEMORY: Duration = Duration::from_secs(600);

/// Number of names at which those are removed that have no verification now and no delay.
const NAMES: usize = 16_384;

/// Names with wrong passwords, and names that are verified now.
pub(super) struct Guesses {
    names: Mutex<HashMap<u64, Arc<Name>>>,
    /// A hash stands for a name, so that long names take no memory.
    keys: RandomState,
}

struct Name {
    places: Arc<Semaphore>,
    /// Held while a verification waits out the delay, so that a dropped call costs others nothing.
    pace: tokio::sync::Mutex<Option<Instant>>,
    wrong: Mutex<Wrong>,
}

#[derive(Default)]
struct Wrong {
    count: u32,
    last: Option<Instant>,
}

impl Guesses {
    pub(super) fn new() -> Self {
        Self {
            names: Mutex::default(),
            keys: RandomState::new(),
        }
    }

    /// Waits until a password of this name may be verified.
    ///
    /// # Cancellation
    ///
    /// Dropping the future gives up the place.
    pub(super) async fn enter(&self, username: &str) -> Result<Guess> {
        let name = self.name(self.keys.hash_one(username));
        let place = Arc::clone(&name.places).acquire_owned().await;
        let place = place.map_err(|error| {
            Error::new(Code::Internal, "verifying has ended").with_source(error)
        })?;
        if name.delay() > Duration::ZERO {
            let mut next = name.pace.lock().await;
            if let Some(next) = *next {
                tokio::time::sleep_until(next).await;
            }
            *next = Some(Instant::now() + name.delay());
        }
        Ok(Guess {
            name,
            _place: place,
        })
    }

    fn name(&self, key: u64) -> Arc<Name> {
        let mut names = self.lock();
        if names.len() >= NAMES && !names.contains_key(&key) {
            names.retain(|_, name| Arc::strong_count(name) > 1 || name.delay() > Duration::ZERO);
            // So many names have a delay only after very many guesses.
            if names.len() > NAMES / 2 {
                names.retain(|_, name| Arc::strong_count(name) > 1);
            }
        }
        Arc::clone(names.entry(key).or_insert_with(|| Arc::new(Name::new())))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Name>>> {
        self.names.lock_unpoisoned()
    }
}

impl fmt::Debug for Guesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guesses")
            .field("names", &self.lock().len())
            .finish()
    }
}

impl Name {
    fn new() -> Self {
        Self {
            places: Arc::new(Semaphore::new(AT_ONCE)),
            pace: tokio::sync::Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    fn wrong(&self) -> MutexGuard<'_, Wrong> {
        self.wrong.lock_unpoisoned()
    }

    fn delay(&self) -> Duration {
        let wrong = self.wrong();
        match wrong.last {
            Some(last) if wrong.count >= FREE && last.elapsed() < MEMORY => {
                DELAY * (wrong.count / STEP).clamp(1, 10)
            }
            _ => Duration::ZERO,
        }
    }
}

/// Permission to verify one password of a name. Holds a place until it is dropped.
pub(super) struct Guess {
    name: Arc<Name>,
    _place: OwnedSemaphorePermit,
}

impl Guess {
    /// Counts a wrong password. Returns the number of wrong passwords when delays begin, and at
    /// each doubling after that.
    pub(super) fn was_wrong(&self) -> Option<u32> {
        let mut wrong = self.name.wrong();
        if wrong.last.is_some_and(|last| last.elapsed() >= MEMORY) {
            wrong.count = 0;
        }
        wrong.count = wrong.count.saturating_add(1);
        wrong.last = Some(Instant::now());
        // A doubling as in the runtime's log, but of a count that starts again and from `FREE` on.
        let is_news = wrong.count.is_multiple_of(FREE) && (wrong.count / FREE).is_power_of_two();
        is_news.then_some(wrong.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn guess(guesses: &Guesses, name: &str) -> Option<u32> {
        guesses.enter(name).await.unwrap().was_wrong()
    }

    /// The clock is paused: a wait takes no time, and all durations are exact.
    #[tokio::test(start_paused = true)]
    async fn the_tenth_wrong_password_begins_a_delay() {
        let guesses = Guesses::new();
        let start = Instant::now();
        for n in 1..=10 {
            assert_eq!(guess(&guesses, "ada").await, (n == 10).then_some(10));
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        // The next one begins at once, and those after it each 100 ms later.
        for n in 0..5 {
            guess(&guesses, "ada").await;
            assert!(start.elapsed().abs_diff(DELAY * n) < Duration::from_millis(10));
        }
        // Another name is not delayed.
        let before = Instant::now();
        guess(&guesses, "bob").await;
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_guesses_let_the_owner_in() {
        let guesses = Guesses::new();
        let guessing: Vec<_> = (0..200).map(|_| Box::pin(guess(&guesses, "ada"))).collect();
        let mut news = Vec::new();
        let mut waiting = Vec::new();
        for mut guess in guessing {
            match futures_util::poll!(&mut guess) {
                std::task::Poll::Ready(count) => news.extend(count),
                std::task::Poll::Pending => waiting.push(guess),
            }
        }
        let start = Instant::now();
        let owner = async {
            drop(guesses.enter("ada").await.unwrap());
            start.elapsed()
        };
        let all = futures_util::future::join_all(waiting);
        let (waited, counts) = tokio::join!(owner, all);
        // Delayed behind all of them, but within the deadline of a call.
        assert!(waited > Duration::from_secs(18), "{waited:?}");
        assert!(waited < Duration::from_secs(25), "{waited:?}");
        news.extend(counts.into_iter().flatten());
        assert_eq!(news, [10, 20, 40, 80, 160]);
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_calls_delay_no_other() {
        let guesses = Guesses::new();
        for _ in 0..11 {
            guess(&guesses, "ada").await;
        }
        let start = Instant::now();
        for _ in 0..1000 {
            let mut dropped = Box::pin(guesses.enter("ada"));
            assert!(futures_util::poll!(&mut dropped).is_pending());
        }
        drop(guesses.enter("ada").await.unwrap());
        assert!(start.elapsed() <= 2 * DELAY, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn the_delay_grows_to_a_second_and_is_forgotten() {
        let guesses = Guesses::new();
        for _ in 0..2000 {
            guess(&guesses, "ada").await;
        }
        let start = Instant::now();
        guess(&guesses, "ada").await;
        let delay = start.elapsed();
        assert!(
            (10 * DELAY).abs_diff(delay) < Duration::from_millis(10),
            "{delay:?}"
        );
        tokio::time::advance(MEMORY).await;
        let start = Instant::now();
        assert_eq!(guess(&guesses, "ada").await, None);
        guess(&guesses, "ada").await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn any_number_of_names_takes_bounded_memory() {
        let guesses = Guesses::new();
        for _ in 0..FREE {
            guess(&guesses, "ada").await;
        }
        for n in 0..3 * NAMES {
            guess(&guesses, &n.to_string()).await;
            assert!(guesses.lock().len() <= NAMES);
        }
        // A name with a delay is not pushed out by names without one.
        guess(&guesses, "ada").await;
        let start = Instant::now();
        guess(&guesses, "ada").await;
        assert!(start.elapsed() > Duration::ZERO);
    }
}
