//! Verifies logins.
//!
//! An unknown user costs the same work as a wrong password: the password is compared with a dummy
//! hash of the same cost. So neither the response nor its duration reveals whether a user exists.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use rpc_runtime::{Result, Secret};
use tokio::sync::OnceCell;

use super::guesses::Guesses;
use super::hashing::Argon2Cost;
use super::normal::spellings;
use super::passwords::{Lane, Passwords};
use crate::login_cache::{LoginAge, LoginCache, LoginDigest};

/// Verifies passwords. Concurrent verifications of the same login share one comparison, and
/// successful ones are cached for a minute. After that they are compared again, before passwords
/// that were not correct lately.
pub(super) struct Logins {
    passwords: Passwords,
    guesses: Guesses,
    cache: LoginCache,
    pending: Mutex<HashMap<LoginDigest, Arc<OnceCell<bool>>>>,
    /// Hash that matches no password, for unknown users.
    dummy_hash: String,
}

impl Logins {
    pub(super) fn new(cost: Argon2Cost) -> Result<Self> {
        let passwords = Passwords::new(cost)?;
        Ok(Self {
            dummy_hash: passwords.dummy_hash()?,
            passwords,
            guesses: Guesses::new(),
            cache: LoginCache::new()?,
            pending: Mutex::default(),
        })
    }

    pub(super) fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// Returns whether the password is correct. `hash` is the user's hash; `None` for an unknown
    /// user.
    ///
    /// # Errors
    ///
    /// Those of [`Passwords::matches`].
    ///
    /// # Cancellation
    ///
    /// Dropping the future gives up its place in the queue.
    pub(super) async fn verify(
        &self,
        username: &str,
        password: &Secret<String>,
        hash: Option<&str>,
    ) -> Result<bool> {
        let is_user = hash.is_some();
        let hash = hash.unwrap_or(&self.dummy_hash);
        let login = self.cache.digest(username, password.expose(), hash);
        let age = self.cache.age(&login);
        if age == Some(LoginAge::Fresh) {
            return Ok(true);
        }
        let pending = self.join(login);
        // The first caller compares. If it is canceled, the next one does.
        let compare = async || match age {
            Some(_) => self.compare(username, password, hash, Lane::Proven).await,
            None => {
                let guess = self.guesses.enter(username).await?;
                let matches = self
                    .compare(username, password, hash, Lane::Unproven)
                    .await?;
                if !matches && let Some(count) = guess.was_wrong() {
                    log_guesses(username, is_user, count);
                }
                Ok(matches)
            }
        };
        let matches = *pending.outcome.get_or_try_init(compare).await?;
        let right = matches && is_user;
        if right {
            self.cache.insert(login);
        }
        Ok(right)
    }

    /// Compares each spelling of a password. Their number depends on the password only.
    async fn compare(
        &self,
        username: &str,
        password: &Secret<String>,
        hash: &str,
        lane: Lane,
    ) -> Result<bool> {
        for spelling in spellings(password.expose()) {
            let spelling = Secret::new(spelling);
            if self
                .passwords
                .matches(username, spelling, hash.to_owned(), lane)
                .await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn join(&self, login: LoginDigest) -> PendingLogin<'_> {
        let mut pending = self.pending.lock();
        PendingLogin {
            outcome: Arc::clone(pending.entry(login).or_default()),
            login,
            logins: self,
        }
    }
}

/// Logs that guesses at a name are delayed. An unknown name may be a password that was typed into
/// the wrong field, so it is not logged.
fn log_guesses(username: &str, is_user: bool, count: u32) {
    let name = if is_user { username } else { "(unknown)" };
    tracing::warn!("{count} wrong passwords for user {name:?}; further ones are delayed");
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins").finish_non_exhaustive()
    }
}

/// Verification in progress, held by each of its callers.
struct PendingLogin<'a> {
    outcome: Arc<OnceCell<bool>>,
    login: LoginDigest,
    logins: &'a Logins,
}

impl Drop for PendingLogin<'_> {
    fn drop(&mut self) {
        let mut pending = self.logins.pending.lock();
        // The last caller removes the entry. Two references are left then: this one and the map's.
        if let Entry::Occupied(entry) = pending.entry(self.login)
            && Arc::strong_count(entry.get()) == 2
        {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(password: &str) -> Secret<String> {
        Secret::new(password.to_owned())
    }

    async fn logins() -> (Logins, String) {
        let logins = Logins::new(Argon2Cost::TEST).unwrap();
        let hash = logins.passwords.hash(secret("right")).await.unwrap();
        (logins, hash)
    }

    #[tokio::test]
    async fn unknown_users_cost_as_much_as_wrong_passwords() {
        let (logins, hash) = logins().await;
        let mut work = Vec::new();
        for hash in [Some(hash.as_str()), None] {
            let before = logins.passwords.hashed();
            for n in 0..20 {
                assert!(
                    !logins
                        .verify("a", &secret(&n.to_string()), hash)
                        .await
                        .unwrap()
                );
                // Wrong passwords are not cached.
                assert!(
                    !logins
                        .verify("a", &secret(&n.to_string()), hash)
                        .await
                        .unwrap()
                );
            }
            work.push(logins.passwords.hashed() - before);
        }
        assert_eq!(work, [40, 40]);
        // The dummy hash costs as much as a real one.
        let cost = |hash: &str| hash.rsplitn(3, '$').last().unwrap().to_owned();
        assert_eq!(cost(&logins.dummy_hash), cost(&hash));
    }

    #[tokio::test]
    async fn a_right_password_is_cached_until_it_changes() {
        let (logins, hash) = logins().await;
        let other = logins.passwords.hash(secret("other")).await.unwrap();
        let before = logins.passwords.hashed();
        for _ in 0..10 {
            assert!(
                logins
                    .verify("a", &secret("right"), Some(&hash))
                    .await
                    .unwrap()
            );
        }
        assert_eq!(logins.passwords.hashed() - before, 1);
        assert!(
            !logins
                .verify("a", &secret("right"), Some(&other))
                .await
                .unwrap()
        );
        assert!(!logins.verify("a", &secret("right"), None).await.unwrap());
        assert_eq!(logins.passwords.hashed() - before, 3);
    }

    #[tokio::test]
    async fn concurrent_equal_logins_share_one_comparison() {
        let (logins, hash) = logins().await;
        let before = logins.passwords.hashed();
        let (right, wrong) = (secret("right"), secret("wrong"));
        // No comparison begins before all have joined.
        let turns = logins.passwords.hold_turns().await;
        let mut all: Vec<_> = (0..500)
            .map(|n| {
                let password = if n % 2 == 0 { &right } else { &wrong };
                Box::pin(logins.verify("a", password, Some(&hash)))
            })
            .collect();
        for one in &mut all {
            assert!(futures_util::poll!(one).is_pending());
        }
        drop(turns);
        let all = futures_util::future::join_all(all);
        let outcomes: Vec<bool> = all.await.into_iter().map(Result::unwrap).collect();
        assert!(
            outcomes
                .iter()
                .enumerate()
                .all(|(n, right)| *right == (n % 2 == 0))
        );
        assert_eq!(logins.passwords.hashed() - before, 2);
        assert!(logins.pending.lock().is_empty());
    }

    #[tokio::test]
    async fn a_dropped_call_does_not_cancel_the_others() {
        let (logins, hash) = logins().await;
        let password = secret("right");
        let turns = logins.passwords.hold_turns().await;
        let mut first = Box::pin(logins.verify("a", &password, Some(&hash)));
        assert!(futures_util::poll!(&mut first).is_pending());
        let mut second = Box::pin(logins.verify("a", &password, Some(&hash)));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        drop(turns);
        assert!(second.await.unwrap());
        assert!(logins.pending.lock().is_empty());
    }
}
