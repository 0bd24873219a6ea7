//! The interface of a store of results.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;

use super::Outcome;
use crate::error::Result;

/// The future of an [`IdempotencyStore`] method.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Stores the results of calls with an idempotency key, so that a repeated call returns the stored
/// result and does not run.
///
/// A server has a [`MemoryStore`](super::MemoryStore) unless
/// [`Server::idempotency_store`](crate::Server::idempotency_store) gives it another one. A custom
/// store can outlive the process, and can be shared by all instances of a server.
///
/// The server calls the store once for each new call: repeats that arrive while the first call runs
/// wait for it within the process, and do not reach the store. The server also compares the
/// messages; a store only keeps the [`Fingerprint`].
///
/// Each operation has a timeout of 5 s, after which its future may be dropped. A request that the
/// server has given up may still arrive at the store. So the key of each call has a [`ClaimToken`],
/// and an operation with the token of another claim changes nothing.
///
/// If `begin` fails or takes too long, the call is not run, and its claim is released as soon as
/// the store responds. If `complete` fails, the caller still gets its result; so do repeats at this
/// server, which calls `complete` again for about ten minutes. After that the key stays claimed,
/// and an error is logged.
///
/// A store outside of the handler's database cannot know whether a call was executed whose server
/// was killed between the handler's last effect and `complete`. Only the claim remains. If this
/// matters, the handler writes its effect and the key (one of its arguments) in one transaction of
/// its database.
pub trait IdempotencyStore: Send + Sync + 'static {
    /// Checks the settings of the store. Called once, when a server with this store starts; the
    /// start fails with the error.
    ///
    /// # Errors
    ///
    /// `invalid_argument`, with the name of the setting, if the store could not keep any result. By
    /// default nothing is checked.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Looks up a key, and claims it for its [token](IdempotencyKey::token) if it is free: of two
    /// concurrent calls, exactly one gets [`Claim::New`].
    ///
    /// A store that sends its own requests again recognizes the claim that it has made by the
    /// token.
    ///
    /// # Errors
    ///
    /// `unavailable` if the store cannot be reached. It may have claimed the key all the same. A
    /// store that claims it only after it has returned the error keeps it: the server has released
    /// the claim by then.
    fn begin<'a>(&'a self, key: &'a IdempotencyKey, message: Fingerprint)
    -> StoreFuture<'a, Claim>;

    /// Stores the result of the call that claimed the key with this token; from now on
    /// [`begin`](Self::begin) returns [`Claim::Done`].
    ///
    /// Does nothing, and succeeds, if the key has a result or belongs to the claim of another
    /// token. May be called again after an error.
    ///
    /// # Errors
    ///
    /// `unavailable` if the store cannot be reached.
    fn complete<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        message: Fingerprint,
        outcome: &'a Outcome,
    ) -> StoreFuture<'a, ()>;

    /// Releases the claim of this token: the call was not executed, and may run again.
    ///
    /// Does nothing, and succeeds, if the key is free, has a result, or belongs to the claim of
    /// another token. May be called again after an error.
    ///
    /// # Errors
    ///
    /// `unavailable` if the store cannot be reached.
    fn abandon<'a>(&'a self, key: &'a IdempotencyKey) -> StoreFuture<'a, ()>;
}

/// Delegates to the shared store, for example one that several servers of a process use.
impl<S: IdempotencyStore + ?Sized> IdempotencyStore for Arc<S> {
    fn check(&self) -> Result<()> {
        (**self).check()
    }

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

/// The state of a key in a store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Claim {
    /// The key was free and is claimed now: the call runs, and
    /// [`complete`](IdempotencyStore::complete) or [`abandon`](IdempotencyStore::abandon) follows.
    New,
    /// A call in another process has claimed the key and is not done. The caller gets `unavailable`
    /// with a retry delay.
    ///
    /// If that process no longer exists and the store can detect it, the store returns
    /// [`Claim::Done`] with [`Outcome::lost`]. No call runs longer than its server's
    /// [`deadline_cap`](crate::Limits::deadline_cap), by default 5 minutes.
    Running(Fingerprint),
    /// An earlier call with this key has completed with this result.
    Done(Fingerprint, Outcome),
    /// The key is unknown, and the store has no capacity for another one. The caller gets
    /// `resource_exhausted`.
    Full,
}

/// Identifies the repeats of a call: method, caller and key. Cheap to clone.
///
/// Also carries the token of the call that uses it, which is not compared: the keys of repeats are
/// equal. Prints as `/shop.v1.Till/Charge web@prod key`.
#[derive(Clone)]
pub struct IdempotencyKey {
    parts: Arc<KeyParts>,
    token: ClaimToken,
}

impl PartialEq for IdempotencyKey {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl Eq for IdempotencyKey {}

impl Hash for IdempotencyKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts.hash(state);
    }
}

#[derive(PartialEq, Eq, Hash)]
struct KeyParts {
    method: &'static str,
    caller: String,
    key: String,
}

impl IdempotencyKey {
    /// Creates the key of a call as the server does, for tests of a store. Its token is zero.
    pub fn new(method: &'static str, caller: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            parts: Arc::new(KeyParts {
                method,
                caller: caller.into(),
                key: key.into(),
            }),
            token: ClaimToken::from_bytes([0; 16]),
        }
    }

    /// Sets the token.
    #[must_use]
    pub fn with_token(self, token: ClaimToken) -> Self {
        Self { token, ..self }
    }

    /// Returns the token of the call that uses the key. If the call claims the key, it is the token
    /// of the claim.
    #[must_use]
    pub fn token(&self) -> ClaimToken {
        self.token
    }

    /// Returns the method's path, such as `/shop.v1.Till/Charge`.
    #[must_use]
    pub fn method(&self) -> &str {
        self.parts.method
    }

    /// Returns the calling server and its environment without the instance, such as `web@prod`; `-`
    /// for a trusted caller without a name; `edge` for a caller without trust, as at an edge.
    #[must_use]
    pub fn caller(&self) -> &str {
        &self.parts.caller
    }

    /// Returns the key that the caller passed: 1 to 255 bytes without control characters.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.parts.key
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {}",
            self.parts.method, self.parts.caller, self.parts.key
        )
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdempotencyKey({self})")
    }
}

/// Identifies one claim of a key: random, and different for each call.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimToken([u8; 16]);

impl ClaimToken {
    /// Creates the token of a call.
    #[must_use]
    pub fn random() -> Self {
        Self(fastrand::u128(..).to_be_bytes())
    }

    /// Restores a token from a store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for ClaimToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaimToken({:032x})", u128::from_be_bytes(self.0))
    }
}

/// SHA-256 of a message in canonical form, for comparing messages.
///
/// White space and the order of an object's fields are ignored, since maps in memory have no order.
/// All other differences count, including the spelling of numbers: `1.0` is not `1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Restores a fingerprint from a store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes to store.
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
