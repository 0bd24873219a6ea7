//! Who signs and who is believed: keys that services share, the signature of a call, and the memory that refuses it twice.
//!
//! A signed call has the header `x-rpc-identity: v1.KEY.TIME.NONCE.BODY.MAC`. `MAC` is the HMAC-SHA256, in base64 for
//! URLs without padding, of these lines, each ended by a line feed:
//!
//! ```text
//! v1.KEY.TIME.NONCE.BODY           the header itself: key id, milliseconds since 1970, 32 hex digits, SHA-256 of the body
//! fibpro.v1.LogSink                the audience: the service by its full name
//! POST /fibpro.v1.LogSink/RecvLog  what is asked for, with the query of a GET
//! x-request-id:3b9d41f8a0c2e576    every header that the context is read from, sorted by name
//! ```
//!
//! The digest is one of the bytes on the wire, before anything is unpacked or read, and stands in the header: so the
//! signature is checked before a byte of the body is, and strangers make a server buffer nothing.
//!
//! What the signature does not do: it hides nothing, it does not cover metadata of the application (proxies add to
//! that), and whoever has the key can be any source. An instance remembers what it has seen, so a call that somebody
//! records is good for nothing at the instance that has seen it; at another instance of the same service, or at one that
//! has started again, it could be sent once more within its 30 s. Where that matters, the wire needs TLS.

mod keys;
mod replay;
mod signature;

use std::fmt;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

pub use keys::IdentityKeys;
pub(crate) use signature::{BodyDigest, SignableRequest};

use self::replay::{ReplayError, ReplayWindow};
use crate::error::{Code, Error};
use crate::sync::MutexExt as _;

/// How long a signature is valid, in milliseconds, in both directions: clocks of two hosts differ.
pub(crate) const VALID_MS: u64 = 30_000;

/// Checks the signatures of the calls that arrive at one server.
pub(crate) struct Verifier {
    keys: IdentityKeys,
    seen: Mutex<ReplayWindow>,
}

impl Verifier {
    pub(crate) fn new(keys: IdentityKeys) -> Self {
        Self {
            keys,
            seen: Mutex::new(ReplayWindow::new(replay::CAPACITY)),
        }
    }

    /// The keys, for the calls that the server makes itself.
    pub(crate) fn keys(&self) -> &IdentityKeys {
        &self.keys
    }

    /// The digest that the body must have, if the head of the request is what one of our keys has signed just now.
    ///
    /// # Errors
    ///
    /// `unauthenticated`, with a text that says what to do. What it says of times is for those who have the key.
    pub(crate) fn verify(
        &self,
        signable: &SignableRequest<'_>,
        header: &str,
    ) -> Result<BodyDigest, Error> {
        self.verify_at(signable, header, milliseconds(SystemTime::now()))
    }

    fn verify_at(
        &self,
        signable: &SignableRequest<'_>,
        header: &str,
        now: u64,
    ) -> Result<BodyDigest, Error> {
        let signature = signature::verify(&self.keys, signable, header)?;
        let age = now.abs_diff(signature.time);
        if age > VALID_MS {
            let when = if signature.time > now { "ahead" } else { "ago" };
            return Err(unauthenticated(format!(
                "the call was signed {} s {when} by this server's clock, and a signature is valid for {} s: \
                 are the clocks of both hosts right?",
                age / 1000,
                VALID_MS / 1000
            )));
        }
        let mut seen = self.seen.lock_unpoisoned();
        match seen.admit(signature.time, signature.tag, now) {
            Ok(()) => Ok(signature.body),
            Err(ReplayError::Seen) => Err(unauthenticated(
                "this very call has arrived before: each one, and each try of one, is signed anew",
            )),
            Err(ReplayError::Forgotten) => Err(unauthenticated(
                "the call was signed too long ago for a server as busy as this one: sign it again",
            )),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verifier").field(&self.keys).finish()
    }
}

/// The value of `x-rpc-identity` for a call that goes out now.
pub(crate) fn sign(keys: &IdentityKeys, signable: &SignableRequest<'_>, body: &[u8]) -> String {
    let nonce = fastrand::u128(..);
    signature::sign(keys, signable, body, milliseconds(SystemTime::now()), nonce)
}

/// Milliseconds since 1970. A clock that stands before that is answered like every other that is wrong.
fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn unauthenticated(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::without_location(Code::Unauthenticated, text)
}

#[cfg(test)]
mod tests;
