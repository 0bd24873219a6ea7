//! Cache of passwords that were verified.
//!
//! An entry is a MAC of user name, password and hash under a random key of this process, so the
//! cache does not help to find a password. In the user store, changing a user's hash, also by
//! another process, invalidates the entries of the user.
//!
//! An own type and not `moka` or `quick_cache`: an entry must expire a fixed time after its
//! insertion on tokio's clock, the oldest must be evicted at capacity, and the tests rely on both
//! exactly.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::Mutex;
use rpc_runtime::{Code, Error, Result};
use sha2::Sha256;
use tokio::time::Instant;

/// Time for which a verified password is accepted without another verification.
const FRESH_TTL: Duration = Duration::from_secs(60);

/// Lifetime of an entry. An entry that is not fresh is verified again, before passwords that are
/// not known.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Maximum number of entries. Beyond it, the oldest is evicted.
const CAPACITY: usize = 10_000;

/// MAC of a user name, a password and a hash.
pub(crate) type LoginDigest = [u8; 32];

/// Age of a verified login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoginAge {
    /// Verified within the last minute.
    Fresh,
    /// Verified within the last day.
    Known,
}

/// Verified logins.
pub(crate) struct LoginCache {
    key: Hmac<Sha256>,
    logins: Mutex<CacheEntries>,
}

#[derive(Default)]
struct CacheEntries {
    /// The time of the last verification.
    verified: HashMap<LoginDigest, Instant>,
    /// All verifications in their order. Those that are not the last one of their login are
    /// skipped.
    order: VecDeque<(Instant, LoginDigest)>,
}

impl LoginCache {
    pub(crate) fn new() -> Result<Self> {
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
    pub(crate) fn digest(&self, username: &str, password: &str, hash: &str) -> LoginDigest {
        let mut mac = self.key.clone();
        for part in [username, password, hash] {
            // Length prefixes distinguish `ab` + `c` from `a` + `bc`.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    /// Returns the age of a login; `None` if it was not verified within the last day.
    pub(crate) fn age(&self, login: &LoginDigest) -> Option<LoginAge> {
        let logins = self.logins.lock();
        let age = logins.verified.get(login)?.elapsed();
        if age < FRESH_TTL {
            Some(LoginAge::Fresh)
        } else {
            (age < LIFETIME).then_some(LoginAge::Known)
        }
    }

    /// Adds a verified login, or renews it.
    pub(crate) fn insert(&self, login: LoginDigest) {
        let now = Instant::now();
        let mut logins = self.logins.lock();
        let logins = &mut *logins;
        // Concurrent callers of one verification all insert its login.
        match logins.verified.entry(login) {
            Entry::Occupied(entry) if now.duration_since(*entry.get()) < FRESH_TTL => return,
            Entry::Occupied(mut entry) => *entry.get_mut() = now,
            Entry::Vacant(place) => {
                place.insert(now);
            }
        }
        logins.order.push_back((now, login));
        while let Some((time, oldest)) = logins.order.front().copied() {
            let is_last = logins.verified.get(&oldest) == Some(&time);
            let is_expired = now.duration_since(time) >= LIFETIME;
            if is_last && !is_expired && logins.verified.len() <= CAPACITY {
                break;
            }
            logins.order.pop_front();
            if is_last {
                logins.verified.remove(&oldest);
            }
        }
        // Renewed logins leave earlier verifications in the middle.
        if logins.order.len() > 2 * CAPACITY {
            let CacheEntries { verified, order } = logins;
            order.retain(|(time, login)| verified.get(login) == Some(time));
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
    async fn a_login_is_fresh_for_a_minute_and_known_for_a_day() {
        let cache = LoginCache::new().unwrap();
        let login = cache.digest("a", "b", "c");
        assert_eq!(cache.age(&login), None);
        cache.insert(login);
        tokio::time::advance(FRESH_TTL - Duration::from_millis(1)).await;
        assert_eq!(cache.age(&login), Some(LoginAge::Fresh));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(cache.age(&login), Some(LoginAge::Known));
        cache.insert(login);
        assert_eq!(cache.age(&login), Some(LoginAge::Fresh));
        tokio::time::advance(LIFETIME - Duration::from_millis(1)).await;
        assert_eq!(cache.age(&login), Some(LoginAge::Known));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(cache.age(&login), None);
        // The next insertion removes expired entries.
        cache.insert(cache.digest("d", "e", "f"));
        let logins = cache.logins.lock();
        assert_eq!((logins.verified.len(), logins.order.len()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_an_end_to_what_is_remembered() {
        let cache = LoginCache::new().unwrap();
        let login = |n: usize| cache.digest("a", &n.to_string(), "c");
        for n in 0..CAPACITY + 10 {
            cache.insert(login(n));
        }
        assert_eq!(cache.logins.lock().verified.len(), CAPACITY);
        assert_eq!(cache.age(&login(9)), None);
        assert_eq!(cache.age(&login(10)), Some(LoginAge::Fresh));
        // A login that is renewed again and again occupies one entry, and stays.
        for _ in 0..3 * CAPACITY {
            tokio::time::advance(FRESH_TTL).await;
            cache.insert(login(CAPACITY));
        }
        assert!(cache.logins.lock().order.len() <= 2 * CAPACITY + 1);
        for n in 0..CAPACITY - 1 {
            cache.insert(cache.digest("b", &n.to_string(), "c"));
        }
        assert_eq!(cache.age(&login(CAPACITY)), Some(LoginAge::Fresh));
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
