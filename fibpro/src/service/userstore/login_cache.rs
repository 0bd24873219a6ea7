//! Passwords that were right a moment ago.
//!
//! What is remembered is a MAC of user, password and hash under a key that this process made up for itself, so the
//! memory holds nothing that a password could be found with. Whoever changes the hash of a user makes all that is
//! remembered of it void, also where another process does it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use rpc_runtime::{Code, Error, Result};
use sha2::Sha256;
use tokio::time::Instant;

/// How long a password is cache, from when it was verified.
const LIFETIME: Duration = Duration::from_secs(60);

/// How many are cache. One more, and the oldest is forgotten.
const CAPACITY: usize = 10_000;

/// What stands for a user with a password.
pub(super) type LoginDigest = [u8; 32];

/// The logins that were right.
pub(super) struct LoginCache {
    key: Hmac<Sha256>,
    logins: Mutex<CacheEntries>,
}

#[derive(Default)]
struct CacheEntries {
    until: HashMap<LoginDigest, Instant>,
    /// In the order in which they end, since all live equally long.
    order: VecDeque<(Instant, LoginDigest)>,
}

impl LoginCache {
    pub(super) fn new() -> Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| {
            let text = format!("the system has no random bytes: {error}");
            Error::new(Code::Internal, text)
        })?;
        Ok(Self {
            key: Hmac::new_from_slice(&key)
                .map_err(|error| Error::new(Code::Internal, "a key").with_source(error))?,
            logins: Mutex::default(),
        })
    }

    /// What stands for a user whose hash this is, with a password.
    pub(super) fn digest(&self, username: &str, password: &str, hash: &str) -> LoginDigest {
        let mut mac = self.key.clone();
        for part in [username, password, hash] {
            // The lengths keep `ab` + `c` and `a` + `bc` apart.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    /// Whether a login was right within the last minute.
    pub(super) fn contains(&self, login: &LoginDigest) -> bool {
        let logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins
            .until
            .get(login)
            .is_some_and(|until| Instant::now() < *until)
    }

    /// Remembers a login that is right.
    pub(super) fn insert(&self, login: LoginDigest) {
        let now = Instant::now();
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((until, oldest)) = logins.order.front().copied()
            && (until <= now || logins.order.len() >= CAPACITY)
        {
            logins.order.pop_front();
            logins.until.remove(&oldest);
        }
        // All who waited for one comparison come here with it.
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
        // The next one throws away what is over.
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
        // One that comes again and again takes one place.
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
    fn a_login_is_of_one_user_one_password_one_hash_and_one_process() {
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
