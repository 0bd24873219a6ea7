//! Cache of recently verified passwords.
//!
//! An entry is a MAC of user name, password and hash under a random key of this process, so the
//! cache does not help to find a password. Changing a user's hash, also by another process,
//! invalidates the entries of the user.
//!
//! An own type and not `moka` or `quick_cache`: an entry must expire a fixed time after its
//! insertion on tokio's clock, the oldest must be evicted at capacity, and the tests rely on both
//! exactly.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use rpc_runtime::{Code, Error, Result};
use sha2::Sha256;
use tokio::time::Instant;

/// Lifetime of an entry.
const LIFETIME: Duration = Duration::from_secs(60);

/// Maximum number of entries. Beyond it, the oldest is evicted.
const CAPACITY: usize = 10_000;

/// MAC of a user name, a password and a hash.
pub(super) type LoginDigest = [u8; 32];

/// Verified logins.
pub(super) struct LoginCache {
    key: Hmac<Sha256>,
    logins: Mutex<CacheEntries>,
}

#[derive(Default)]
struct CacheEntries {
    until: HashMap<LoginDigest, Instant>,
    /// Entries in order of expiry, which is the order of insertion.
    order: VecDeque<(Instant, LoginDigest)>,
}

impl LoginCache {
    pub(super) fn new() -> Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| {
            let text = format!("cannot read random bytes from the system: {error}");
            Error::new(Code::Internal, text)
        })?;
        Ok(Self {
            key: Hmac::new_from_slice(&key).map_err(|error| {
                Error::new(
                    Code::Internal,
                    "internal error: HMAC-SHA256 rejected the random key of the login cache",
                )
                .with_source(error)
            })?,
            logins: Mutex::default(),
        })
    }

    /// Returns the MAC of a user name, a password and the user's hash.
    pub(super) fn digest(&self, username: &str, password: &str, hash: &str) -> LoginDigest {
        let mut mac = self.key.clone();
        for part in [username, password, hash] {
            // Length prefixes distinguish `ab` + `c` from `a` + `bc`.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    /// Returns whether a login was verified within the last minute.
    pub(super) fn contains(&self, login: &LoginDigest) -> bool {
        let logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins
            .until
            .get(login)
            .is_some_and(|until| Instant::now() < *until)
    }

    /// Adds a verified login.
    pub(super) fn insert(&self, login: LoginDigest) {
        let now = Instant::now();
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((until, oldest)) = logins.order.front().copied()
            && (until <= now || logins.order.len() >= CAPACITY)
        {
            logins.order.pop_front();
            logins.until.remove(&oldest);
        }
        // Concurrent callers of one verification all insert its login.
        if let Entry::Vacant(place) = logins.until.entry(login) {
            let until = now + LIFETIME;
            place.insert(until);
            logins.order.push_back((until, login));
        }
    }
}

impl fmt::Debug for LoginCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginCache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_login_is_remembered_for_a_minute() {
        let cache = LoginCache::new().unwrap();
        let login = cache.digest("a", "b", "c");
        assert!(!cache.contains(&login));
        cache.insert(login);
        tokio::time::advance(LIFETIME - Duration::from_millis(1)).await;
        assert!(cache.contains(&login));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!cache.contains(&login));
        // The next insertion removes expired entries.
        cache.insert(cache.digest("d", "e", "f"));
        assert_eq!(cache.logins.lock().unwrap().until.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_an_end_to_what_is_remembered() {
        let cache = LoginCache::new().unwrap();
        let login = |n: usize| cache.digest("a", &n.to_string(), "c");
        for n in 0..CAPACITY + 10 {
            cache.insert(login(n));
        }
        assert_eq!(cache.logins.lock().unwrap().until.len(), CAPACITY);
        assert!(!cache.contains(&login(9)) && cache.contains(&login(10)));
        // A repeated login occupies one entry.
        for _ in 0..CAPACITY {
            cache.insert(login(11));
        }
        assert!(cache.contains(&login(12)));
        let logins = cache.logins.lock().unwrap();
        assert_eq!(
            (logins.until.len(), logins.order.len()),
            (CAPACITY - 1, CAPACITY - 1)
        );
    }

    #[test]
    fn a_digest_depends_on_each_input_and_on_the_cache() {
        let cache = LoginCache::new().unwrap();
        let login = cache.digest("ab", "c", "d");
        for (username, password, hash) in [
            ("a", "bc", "d"),
            ("ab", "cd", ""),
            ("ab", "c", "e"),
            ("abc", "", "d"),
        ] {
            assert_ne!(login, cache.digest(username, password, hash));
        }
        assert_ne!(login, LoginCache::new().unwrap().digest("ab", "c", "d"));
        assert!(!format!("{cache:?}").contains(&format!("{:?}", login[0])));
    }
}
