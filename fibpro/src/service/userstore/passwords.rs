//! Password hashing with limited concurrency, because a hash is expensive on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::password_hash::{
    Error as Wrong, PasswordHasher as _, PasswordVerifier as _, try_generate_salt,
};
use argon2::{Algorithm, Argon2, Params, Version};
use rpc_runtime::{Code, Error, Result, Secret, fail};
use tokio::sync::Semaphore;

/// Maximum number of concurrent hashes. Each occupies one core and 19 MiB.
const AT_ONCE: usize = 2;

/// Maximum number of waiting hashes. At 30 ms per hash the last one waits 4 s; the deadline of the
/// caller may end its wait earlier.
const WAITING: usize = 256;

/// Delay before a caller retries when too many hashes wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Cost of a password hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory in KiB.
    pub memory: u32,
    /// Number of passes over the memory.
    pub passes: u32,
    /// Number of lanes.
    pub lanes: u32,
}

impl Argon2Cost {
    /// Recommendation of OWASP for argon2id: 19 MiB, 2 passes, 1 lane.
    pub const OWASP: Self = Self {
        memory: 19 * 1024,
        passes: 2,
        lanes: 1,
    };

    /// Minimum cost, for tests only; such a hash protects nothing.
    pub const TEST: Self = Self {
        memory: Params::MIN_M_COST,
        passes: 1,
        lanes: 1,
    };
}

impl Default for Argon2Cost {
    fn default() -> Self {
        Self::OWASP
    }
}

/// Computes and compares password hashes.
#[derive(Debug)]
pub(super) struct Passwords {
    argon2: Argon2<'static>,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    hashed: Arc<AtomicU64>,
}

impl Passwords {
    pub(super) fn new(cost: Argon2Cost) -> Result<Self> {
        let params = Params::new(cost.memory, cost.passes, cost.lanes, None).map_err(|error| {
            Error::new(
                Code::InvalidArgument,
                format!("invalid cost of password hashes: {error}"),
            )
        })?;
        Ok(Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: AtomicUsize::new(0),
            hashed: Arc::default(),
        })
    }

    /// Hashes a password with a random salt. Returns a PHC string.
    pub(super) async fn hash(&self, password: Secret<String>) -> Result<String> {
        let outcome = self.in_turn(move |argon2| {
            let hash: Result<PasswordHash, Wrong> =
                argon2.hash_password(password.expose().as_bytes());
            hash.map(|hash| hash.to_string())
        });
        match outcome.await? {
            Ok(hash) => Ok(hash),
            Err(error) => fail!(Code::Internal, "cannot hash a password: {error}"),
        }
    }

    /// Returns a hash of random bytes, which matches no known password. Comparing with it costs as
    /// much as with a real hash.
    pub(super) fn dummy_hash(&self) -> Result<String> {
        let build = || {
            Ok::<_, Wrong>(PasswordHash {
                algorithm: Algorithm::Argon2id.ident(),
                version: Some(Version::V0x13.into()),
                params: self.argon2.params().try_into()?,
                salt: Some(Salt::new(&try_generate_salt()?)?),
                hash: Some(Output::new(
                    &[try_generate_salt()?, try_generate_salt()?].concat(),
                )?),
            })
        };
        match build() {
            Ok(hash) => Ok(hash.to_string()),
            Err(error) => fail!(
                Code::Internal,
                "cannot create a random password hash: {error}"
            ),
        }
    }

    /// Returns whether a password matches a hash.
    ///
    /// # Errors
    ///
    /// `resource_exhausted` with a retry delay when too many hashes wait; `internal` for an invalid
    /// hash.
    ///
    /// # Cancellation
    ///
    /// A started comparison runs to its end and occupies its slot until then.
    pub(super) async fn matches(&self, password: Secret<String>, hash: String) -> Result<bool> {
        let outcome = self.in_turn(move |argon2| {
            // The cost comes from the hash itself.
            argon2.verify_password(password.expose().as_bytes(), hash.as_str())
        });
        match outcome.await? {
            Ok(()) => Ok(true),
            Err(Wrong::PasswordInvalid) => Ok(false),
            Err(error) => fail!(
                Code::Internal,
                "cannot read a stored password hash: {error}"
            ),
        }
    }

    /// Returns the number of computed hashes.
    pub(super) fn hashed(&self) -> u64 {
        self.hashed.load(Ordering::Relaxed)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(Argon2<'static>) -> T + Send + 'static,
    ) -> Result<T> {
        let turn = {
            let _place = Place::take(&self.waiting)?;
            Arc::clone(&self.turns)
                .acquire_owned()
                .await
                .map_err(|error| {
                    Error::new(Code::Internal, "hashing has ended").with_source(error)
                })?
        };
        let (argon2, hashed) = (self.argon2.clone(), Arc::clone(&self.hashed));
        let work = rpc_runtime::spawn_blocking(move || {
            let outcome = work(argon2);
            hashed.fetch_add(1, Ordering::Relaxed);
            // Released when the work is done, also if the caller is gone.
            drop(turn);
            outcome
        });
        work.await
            .map_err(|error| Error::new(Code::Internal, "hashing has panicked").with_source(error))
    }
}

/// Slot in the queue of waiting hashes.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Result<Self> {
        if waiting.fetch_add(1, Ordering::Relaxed) >= WAITING + AT_ONCE {
            waiting.fetch_sub(1, Ordering::Relaxed);
            let text = "too many passwords are waiting to be verified; retry later";
            return Err(Error::new(Code::ResourceExhausted, text).with_retry_after(RETRY_AFTER));
        }
        Ok(Self(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                .matches(Secret::new("password".to_owned()), hash.clone())
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .matches(Secret::new("passwore".to_owned()), hash)
                .await
                .unwrap()
        );
        assert_eq!(passwords.hashed(), 4);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_dropped_call_leaves() {
        let passwords = Passwords::new(Argon2Cost::TEST).unwrap();
        let hash = passwords.hash(Secret::new("a".to_owned())).await.unwrap();
        let all = Arc::clone(&passwords.turns)
            .acquire_many_owned(2)
            .await
            .unwrap();
        {
            let verify = || Box::pin(passwords.matches(Secret::new("a".to_owned()), hash.clone()));
            let mut waiting = Vec::new();
            for _ in 0..WAITING + AT_ONCE {
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
                .matches(Secret::new("a".to_owned()), hash)
                .await
                .unwrap()
        );
    }
}
