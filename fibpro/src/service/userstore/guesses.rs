//! Delays guesses at the password of one name.
//!
//! Guesses are delayed and never refused, so that they do not lock out the owner of the name. The
//! limits are the same for names that do not exist.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rpc_runtime::{Code, Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::service::suspects::{MEMORY, SUSPECT};

/// Maximum number of concurrent verifications of one name; others wait in the order of their
/// arrival.
const MAX_CONCURRENT: usize = 4;

/// Maximum number of concurrent verifications of all names with [`SUSPECT`] wrong passwords. So
/// guesses at many names do not fill the queue of hashes.
const MAX_SUSPECTS: usize = 8;

/// Longest delay of one verification, however many wait before it. So the owner of a name is
/// verified within the deadline of a call while others guess.
const MAX_DELAY: Duration = Duration::from_secs(8);

/// Number of wrong passwords without a delay.
const FREE_GUESSES: u32 = 10;

/// Delay between two verifications of a name after [`FREE_GUESSES`] wrong passwords. It grows with
/// their number, up to ten times this.
const DELAY: Duration = Duration::from_millis(100);

/// Number of wrong passwords by which the delay grows by [`DELAY`].
const GUESSES_PER_STEP: u32 = 100;

/// Number of names at which those are removed that have no verification now and no delay.
const MAX_NAMES: usize = 16_384;

/// Names with wrong passwords, and names that are verified now.
pub(super) struct Guesses {
    names: Mutex<HashMap<u64, Arc<Name>>>,
    suspects: Arc<Semaphore>,
    /// Keys of the hashes, which are stored in place of names so that long names take no more
    /// memory.
    keys: RandomState,
}

struct Name {
    slots: Arc<Semaphore>,
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
            suspects: Arc::new(Semaphore::new(MAX_SUSPECTS)),
            keys: RandomState::new(),
        }
    }

    /// Waits until a password of this name may be verified.
    ///
    /// # Cancellation
    ///
    /// Dropping the future releases the slot.
    pub(super) async fn enter(&self, username: &str) -> Result<Guess> {
        let name = self.name(self.keys.hash_one(username));
        let slot = match name.slot_without_delay().await? {
            Some(slot) => slot,
            None => {
                name.wait_for_turn().await;
                take(&name.slots).await?
            }
        };
        let suspect = if name.count() >= SUSPECT {
            Some(take(&self.suspects).await?)
        } else {
            None
        };
        Ok(Guess {
            name,
            _slot: slot,
            _suspect: suspect,
        })
    }

    fn name(&self, key: u64) -> Arc<Name> {
        let mut names = self.lock();
        if names.len() >= MAX_NAMES && !names.contains_key(&key) {
            names.retain(|_, name| Arc::strong_count(name) > 1 || name.delay() > Duration::ZERO);
            // So many names have a delay only after very many guesses.
            if names.len() > MAX_NAMES / 2 {
                names.retain(|_, name| Arc::strong_count(name) > 1);
            }
        }
        Arc::clone(names.entry(key).or_insert_with(|| Arc::new(Name::new())))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Name>>> {
        self.names.lock()
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
            slots: Arc::new(Semaphore::new(MAX_CONCURRENT)),
            pace: tokio::sync::Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    fn wrong(&self) -> MutexGuard<'_, Wrong> {
        self.wrong.lock()
    }

    /// Returns the number of wrong passwords that are not forgotten.
    fn count(&self) -> u32 {
        let wrong = self.wrong();
        match wrong.last {
            Some(last) if last.elapsed() < MEMORY => wrong.count,
            _ => 0,
        }
    }

    fn delay(&self) -> Duration {
        match self.count() {
            ..FREE_GUESSES => Duration::ZERO,
            count => DELAY * (count / GUESSES_PER_STEP).clamp(1, 10),
        }
    }

    /// Returns a slot unless the name has a delay, which may begin while others hold the slots.
    async fn slot_without_delay(&self) -> Result<Option<OwnedSemaphorePermit>> {
        if self.delay() > Duration::ZERO {
            return Ok(None);
        }
        let slot = take(&self.slots).await?;
        Ok((self.delay() == Duration::ZERO).then_some(slot))
    }

    /// Waits for the end of the delay, in the order of arrival and no longer than [`MAX_DELAY`].
    async fn wait_for_turn(&self) {
        let turn = async {
            let mut next = self.pace.lock().await;
            if let Some(next) = *next {
                tokio::time::sleep_until(next).await;
            }
            *next = Some(Instant::now() + self.delay());
        };
        // At the end of the time it is this one's turn as well.
        let _ended = tokio::time::timeout(MAX_DELAY, turn).await;
    }
}

async fn take(slots: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    let slot = Arc::clone(slots).acquire_owned().await;
    slot.map_err(|error| Error::new(Code::Internal, "verifying has ended").with_source(error))
}

/// Permission to verify one password of a name. Holds a slot until it is dropped.
pub(super) struct Guess {
    name: Arc<Name>,
    _slot: OwnedSemaphorePermit,
    _suspect: Option<OwnedSemaphorePermit>,
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
        // A doubling as in the runtime's log, but of a count that starts again and from
        // `FREE_GUESSES` on.
        let is_news = wrong.count.is_multiple_of(FREE_GUESSES)
            && (wrong.count / FREE_GUESSES).is_power_of_two();
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

    /// Guesses without end: each caller guesses again as soon as its guess was wrong.
    async fn guess_forever(guesses: &Guesses) {
        loop {
            let guess = guesses.enter("ada").await.unwrap();
            tokio::time::sleep(HASH).await;
            guess.was_wrong();
        }
    }

    const HASH: Duration = Duration::from_millis(30);

    #[tokio::test(start_paused = true)]
    async fn many_guessers_let_the_owner_in() {
        for (wrong, guessers) in [(2000, 40), (2000, 200), (0, 200), (500, 4), (10_000, 120)] {
            let guesses = Guesses::new();
            {
                let name = guesses.name(guesses.keys.hash_one("ada"));
                *name.wrong() = Wrong {
                    count: wrong,
                    last: Some(Instant::now()),
                };
            }
            let guessing = (0..guessers).map(|_| guess_forever(&guesses));
            let owner = async {
                // All of them wait.
                tokio::time::sleep(Duration::from_secs(20)).await;
                let start = Instant::now();
                drop(guesses.enter("ada").await.unwrap());
                start.elapsed()
            };
            let waited = tokio::select! {
                waited = owner => waited,
                _ = futures_util::future::join_all(guessing) => unreachable!(),
            };
            assert!(waited < Duration::from_secs(12), "{guessers}: {waited:?}");
            assert!(
                waited >= Duration::from_millis(300),
                "{guessers}: {waited:?}"
            );
        }
    }

    /// A guess that waits out its delay holds no slot of the suspects.
    #[tokio::test(start_paused = true)]
    async fn guesses_at_100_names_delay_no_other() {
        let guesses = Guesses::new();
        let names: Vec<_> = (0..100).map(|n| n.to_string()).collect();
        for name in &names {
            for _ in 0..FREE_GUESSES {
                guess(&guesses, name).await;
            }
            guess(&guesses, name).await;
        }
        let mut delayed = Vec::new();
        for name in names.iter().flat_map(|name| [name; 4]) {
            let mut one = Box::pin(guesses.enter(name));
            assert!(futures_util::poll!(&mut one).is_pending());
            delayed.push(one);
        }
        let start = Instant::now();
        assert_eq!(guesses.suspects.available_permits(), MAX_SUSPECTS);
        drop(guesses.enter("owner").await.unwrap());
        assert_eq!(start.elapsed(), Duration::ZERO);
        // When the delays are over, they are verified a few at a time.
        tokio::time::advance(Duration::from_secs(1)).await;
        let mut running = 0;
        let mut permits = Vec::new();
        for one in &mut delayed {
            if let std::task::Poll::Ready(permit) = futures_util::poll!(one) {
                permits.push(permit.unwrap());
                running += 1;
            }
        }
        assert_eq!(running, MAX_SUSPECTS);
        drop(guesses.enter("owner").await.unwrap());
        drop(permits);
        drop(delayed);
        // Nothing is left of calls that were dropped.
        assert_eq!(guesses.suspects.available_permits(), MAX_SUSPECTS);
        for name in guesses.lock().values() {
            assert_eq!(name.slots.available_permits(), MAX_CONCURRENT);
            assert_eq!(Arc::strong_count(name), 1);
        }
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
        for _ in 0..FREE_GUESSES {
            guess(&guesses, "ada").await;
        }
        for n in 0..3 * MAX_NAMES {
            guess(&guesses, &n.to_string()).await;
            assert!(guesses.lock().len() <= MAX_NAMES);
        }
        // A name with a delay is not pushed out by names without one.
        guess(&guesses, "ada").await;
        let start = Instant::now();
        guess(&guesses, "ada").await;
        assert!(start.elapsed() > Duration::ZERO);
    }
}
