//! Password hashing with limited concurrency, because a hash is expensive on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rpc_runtime::{Code, Error, Result, Secret, fail};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::hashing::{Argon2Cost, Hasher};

/// Maximum number of concurrent hashes. Each occupies one core and 19 MiB.
pub(super) const MAX_CONCURRENT: usize = 2;

/// Maximum number of waiting hashes. At 30 ms per hash the last one waits 4 s; the deadline of the
/// caller may end its wait earlier.
const MAX_WAITING: usize = 256;

/// Delay before a caller retries when too many hashes wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The queue in which a hash waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// A password that was not correct lately. All of them wait in one bounded queue.
    Unproven,
    /// A password that was correct lately, or that is to be stored. It waits for the running hashes
    /// and for one unproven one, however many wait.
    Proven,
}

/// Computes and compares password hashes.
#[derive(Debug)]
pub(super) struct Passwords {
    hasher: Arc<Hasher>,
    /// The next unproven password holds it until its turn, so at most one waits before proven ones.
    next_unproven: Semaphore,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    hashed: Arc<AtomicU64>,
}

impl Passwords {
    pub(super) fn new(cost: Argon2Cost) -> Result<Self> {
        Self::with_turns(cost, MAX_CONCURRENT)
    }

    /// Like [`new`](Self::new), with another number of concurrent hashes.
    pub(super) fn with_turns(cost: Argon2Cost, turns: usize) -> Result<Self> {
        let hasher = Hasher::new(cost, turns).map_err(|error| {
            Error::new(
                Code::InvalidArgument,
                format!("invalid cost of password hashes: {error}"),
            )
        })?;
        Ok(Self {
            hasher: Arc::new(hasher),
            next_unproven: Semaphore::new(1),
            turns: Arc::new(Semaphore::new(turns)),
            waiting: AtomicUsize::new(0),
            hashed: Arc::default(),
        })
    }

    /// Hashes a password with a random salt. Returns a PHC string.
    pub(super) async fn hash(&self, password: Secret<String>) -> Result<String> {
        let work = move |hasher: &Hasher| hasher.hash(password.expose().as_bytes());
        match self.in_turn(Lane::Proven, work).await? {
            Ok(hash) => Ok(hash),
            Err(error) => fail!(Code::Internal, "cannot hash a password: {error}"),
        }
    }

    /// Returns a hash that matches no known password, at the cost of a real one.
    pub(super) fn dummy_hash(&self) -> Result<String> {
        match self.hasher.dummy_hash() {
            Ok(hash) => Ok(hash),
            Err(error) => fail!(
                Code::Internal,
                "cannot create a random password hash: {error}"
            ),
        }
    }

    /// Returns whether a password matches the hash of a user.
    ///
    /// # Errors
    ///
    /// `resource_exhausted` with a retry delay when too many unproven passwords wait; `internal`
    /// for a hash that is invalid or costs too much.
    ///
    /// # Cancellation
    ///
    /// A started comparison runs to its end and occupies its slot until then.
    pub(super) async fn matches(
        &self,
        username: &str,
        password: Secret<String>,
        hash: String,
        lane: Lane,
    ) -> Result<bool> {
        let work = move |hasher: &Hasher| hasher.matches(password.expose().as_bytes(), &hash);
        match self.in_turn(lane, work).await? {
            Ok(matches) => Ok(matches),
            Err(error) => fail!(
                Code::Internal,
                "cannot use the stored password hash of user {username:?}: {error}; \
                 restore it from a backup"
            ),
        }
    }

    /// Returns the number of computed hashes.
    pub(super) fn hashed(&self) -> u64 {
        self.hashed.load(Ordering::Relaxed)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce(&Hasher) -> T + Send + 'static,
    ) -> Result<T> {
        let turn = self.turn(lane).await?;
        let (hasher, hashed) = (Arc::clone(&self.hasher), Arc::clone(&self.hashed));
        let work = rpc_runtime::spawn_blocking(move || {
            let outcome = work(&hasher);
            hashed.fetch_add(1, Ordering::Relaxed);
            // Released when the work is done, also if the caller is gone.
            drop(turn);
            outcome
        });
        work.await
            .map_err(|error| Error::new(Code::Internal, "hashing has panicked").with_source(error))
    }

    async fn turn(&self, lane: Lane) -> Result<OwnedSemaphorePermit> {
        let ended = |error| Error::new(Code::Internal, "hashing has ended").with_source(error);
        let turns = Arc::clone(&self.turns);
        if lane == Lane::Proven {
            return turns.acquire_owned().await.map_err(ended);
        }
        let _permit = HashPermit::take(&self.waiting)?;
        let _next = self.next_unproven.acquire().await.map_err(ended)?;
        turns.acquire_owned().await.map_err(ended)
    }
}

/// Slot in the queue of waiting hashes.
struct HashPermit<'a>(&'a AtomicUsize);

impl<'a> HashPermit<'a> {
    fn take(waiting: &'a AtomicUsize) -> Result<Self> {
        if waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING + MAX_CONCURRENT {
            waiting.fetch_sub(1, Ordering::Relaxed);
            let text = "too many passwords are waiting to be verified; retry later";
            return Err(Error::new(Code::ResourceExhausted, text).with_retry_after(RETRY_AFTER));
        }
        Ok(Self(waiting))
    }
}

impl Drop for HashPermit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Passwords {
        /// Takes all turns, so that no hash begins.
        pub(in super::super) async fn hold_turns(&self) -> OwnedSemaphorePermit {
            let turns = Arc::clone(&self.turns);
            turns.acquire_many_owned(2).await.unwrap()
        }
    }

    #[tokio::test]
    async fn c10_hashes_are_salted_argon2id_at_owasp_cost() {
        let passwords = Passwords::new(Argon2Cost::OWASP).unwrap();
        let hash = passwords
            .hash(Secret::new("password".to_owned()))
            .await
            .unwrap();
        let other = passwords
            .hash(Secret::new("password".to_owned()))
            .await
            .unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert_ne!(hash, other);
        assert!(
            passwords
                .matches(
                    "ada",
                    Secret::new("password".to_owned()),
                    hash.clone(),
                    Lane::Unproven
                )
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .matches(
                    "ada",
                    Secret::new("passwore".to_owned()),
                    hash,
                    Lane::Unproven
                )
                .await
                .unwrap()
        );
        assert_eq!(passwords.hashed(), 4);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_dropped_call_leaves() {
        let passwords = Passwords::new(Argon2Cost::TEST).unwrap();
        let hash = passwords.hash(Secret::new("a".to_owned())).await.unwrap();
        let all = passwords.hold_turns().await;
        {
            let verify = || {
                let password = Secret::new("a".to_owned());
                Box::pin(passwords.matches("ada", password, hash.clone(), Lane::Unproven))
            };
            let mut waiting = Vec::new();
            for _ in 0..MAX_WAITING + MAX_CONCURRENT {
                let mut one = verify();
                assert!(futures_util::poll!(&mut one).is_pending());
                waiting.push(one);
            }
            let error = verify().await.unwrap_err();
            assert_eq!(error.code(), Code::ResourceExhausted);
            assert_eq!(error.retry_after(), Some(RETRY_AFTER));
            waiting.pop();
            assert!(futures_util::poll!(&mut verify()).is_pending());
        }
        assert_eq!(passwords.waiting.load(Ordering::Relaxed), 0);
        drop(all);
        assert!(
            passwords
                .matches("ada", Secret::new("a".to_owned()), hash, Lane::Unproven)
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn a_proven_password_waits_for_one_unproven_one() {
        let passwords = Passwords::new(Argon2Cost::TEST).unwrap();
        let hash = passwords.hash(Secret::new("a".to_owned())).await.unwrap();
        let verify = |lane| {
            let password = Secret::new("a".to_owned());
            Box::pin(passwords.matches("ada", password, hash.clone(), lane))
        };
        let all = passwords.hold_turns().await;
        let mut unproven: Vec<_> = (0..200).map(|_| verify(Lane::Unproven)).collect();
        for one in &mut unproven {
            assert!(futures_util::poll!(one).is_pending());
        }
        let mut proven = verify(Lane::Proven);
        assert!(futures_util::poll!(&mut proven).is_pending());
        drop(all);
        let before = passwords.hashed();
        // Only the first unproven one is polled, so no other may stand before the proven one.
        let (first, proven) = tokio::join!(&mut unproven[0], proven);
        assert!(first.unwrap() && proven.unwrap());
        assert_eq!(passwords.hashed() - before, 2);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_no_proven_password() {
        let passwords = Passwords::new(Argon2Cost::TEST).unwrap();
        let hash = passwords.hash(Secret::new("a".to_owned())).await.unwrap();
        passwords
            .waiting
            .store(MAX_WAITING + MAX_CONCURRENT, Ordering::Relaxed);
        for (lane, is_refused) in [(Lane::Unproven, true), (Lane::Proven, false)] {
            let password = Secret::new("a".to_owned());
            let outcome = passwords.matches("ada", password, hash.clone(), lane).await;
            assert_eq!(outcome.is_err(), is_refused, "{lane:?}");
        }
    }
}
