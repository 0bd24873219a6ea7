//! The seam: what a store of results is asked.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::Outcome;
use crate::error::Result;

/// What a [`IdempotencyStore`] gives back.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Where a server keeps the results of calls with an idempotency key, so that a repeated call is answered and not run.
///
/// A server has a [`MemoryStore`](super::MemoryStore) unless [`Server::idempotency_store`](crate::Server::idempotency_store) gives it
/// another one. A store of your own outlives the process, and may be shared by all instances of a server.
///
/// The server asks a store once a call: repeats that arrive while the first one runs wait for that one, within the
/// process, and never come here. It compares the messages, too; a store only keeps the [`Fingerprint`].
///
/// Each question is given up after 5 s. A call whose `begin` fails is not run, and answered with the store's error. Where
/// `complete` fails the caller gets its result all the same and an error is logged; the key stays claimed.
///
/// What no store outside of your own database can do: know whether a call was done whose server was killed between the
/// handler's last effect and `complete`. The claim is what is left of it. A handler for which that matters writes its
/// effect and the key, which is an argument of its, in one transaction, as if there were no store.
pub trait IdempotencyStore: Send + Sync + 'static {
    /// Looks a key up, and claims it where nobody has it: of two that ask at one time, one gets [`Claim::New`].
    ///
    /// # Errors
    ///
    /// `unavailable` where the store cannot be asked.
    fn begin<'a>(&'a self, key: &'a IdempotencyKey, message: Fingerprint)
    -> StoreFuture<'a, Claim>;

    /// Keeps the result of the call that claimed the key; from now on [`begin`](Self::begin) answers [`Claim::Done`].
    ///
    /// # Errors
    ///
    /// `unavailable` where the store cannot be asked.
    fn complete<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        message: Fingerprint,
        outcome: &'a Outcome,
    ) -> StoreFuture<'a, ()>;

    /// Gives up the claim: the call was not done, and may be tried again.
    ///
    /// # Errors
    ///
    /// `unavailable` where the store cannot be asked.
    fn abandon<'a>(&'a self, key: &'a IdempotencyKey) -> StoreFuture<'a, ()>;
}

/// For a store that is shared, such as by the servers of one process.
impl<S: IdempotencyStore + ?Sized> IdempotencyStore for Arc<S> {
    fn begin<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        message: Fingerprint,
    ) -> StoreFuture<'a, Claim> {
        (**self).begin(key, message)
    }

    fn complete<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        message: Fingerprint,
        outcome: &'a Outcome,
    ) -> StoreFuture<'a, ()> {
        (**self).complete(key, message, outcome)
    }

    fn abandon<'a>(&'a self, key: &'a IdempotencyKey) -> StoreFuture<'a, ()> {
        (**self).abandon(key)
    }
}

/// What a store knows of a key.
#[derive(Debug, Clone)]
pub enum Claim {
    /// Nothing. The key is claimed now: the call runs, and [`complete`](IdempotencyStore::complete) or
    /// [`abandon`](IdempotencyStore::abandon) follows.
    New,
    /// A call of another process has claimed it and is not done. The caller is told `unavailable`, and to come back.
    ///
    /// A claim whose process is gone is no such call: a store that can tell answers [`Claim::Done`] with
    /// [`Outcome::lost`]. Nothing runs longer than its server's
    /// [`deadline_cap`](crate::Limits::deadline_cap), 5 minutes unless set.
    Running(Fingerprint),
    /// A call has had it, and this was its result.
    Done(Fingerprint, Outcome),
    /// Nothing, and there is no room for one more. The caller is told `resource_exhausted`.
    Full,
}

/// Which calls are the same one: those of one caller to one method with one key. Cheap to clone.
///
/// Prints as `/shop.v1.Till/Charge web@prod key`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Arc<KeyParts>);

#[derive(PartialEq, Eq, Hash)]
struct KeyParts {
    method: &'static str,
    caller: String,
    key: String,
}

impl IdempotencyKey {
    /// The key of a call, as the server makes it; for tests of a store.
    pub fn new(method: &'static str, caller: impl Into<String>, key: impl Into<String>) -> Self {
        Self(Arc::new(KeyParts {
            method,
            caller: caller.into(),
            key: key.into(),
        }))
    }

    /// The method's path, such as `/shop.v1.Till/Charge`.
    #[must_use]
    pub fn method(&self) -> &str {
        self.0.method
    }

    /// The calling server and its environment, such as `web@prod`, all instances together; `-` for a caller that is not
    /// known, as at an edge.
    #[must_use]
    pub fn caller(&self) -> &str {
        &self.0.caller
    }

    /// What the caller gave: 1 to 255 bytes without control characters.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.0.key
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.0.method, self.0.caller, self.0.key)
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdempotencyKey({self})")
    }
}

/// SHA-256 of a message: whether two calls say the same.
///
/// White space and the order of a JSON object's fields do not count, since maps in memory have none. All else does, and
/// how it is written: `1.0` is not `1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// A fingerprint that a store has kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What a store keeps.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(")?;
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…)")
    }
}
