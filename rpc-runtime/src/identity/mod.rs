//! Authentication of services: shared keys, signatures of calls, and replay protection.
//!
//! A signed call has the header `x-rpc-identity: v1.KEY.TIME.NONCE.BODY.MAC`. `MAC` is the
//! HMAC-SHA256, in base64 for URLs without padding, of these lines, each ended by a line feed:
//!
//! ```text
//! v1.KEY.TIME.NONCE.BODY           the header: key ID, milliseconds since 1970, 32 hex digits, SHA-256 of the body
//! fibpro.v1.LogSink                the audience: the full name of the service
//! 10.0.0.7                         the host of the server, in lower case and without a port
//! POST /fibpro.v1.LogSink/RecvLog  the HTTP method and the path, with the query of a GET
//! x-request-id:3b9d41f8a0c2e576    every header from which the context is read, sorted by name
//! ```
//!
//! `BODY` is the digest of the bytes on the wire, before decompression. Because it is in the
//! header, the signature is checked before the body is read, and an unauthenticated peer cannot
//! make a server buffer a body.
//!
//! `docs/request-signature.md` describes the format for other implementations, with test vectors.
//!
//! Limits: the signature encrypts nothing. Of the headers of an application it covers those that
//! `x-rpc-signed-headers` names; proxies may add others. A holder of a key can claim any source.
//! Each instance of a server remembers the calls that it has received, so it rejects a replayed
//! call. Another instance, or one that has restarted, would accept it within 30 s. Use TLS to
//! prevent that. A clock that jumps does not make a server accept a call twice: a second whose
//! calls it no longer remembers stays closed.

mod keys;
mod replay;
mod signature;

use std::fmt;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

pub use keys::IdentityKeys;
#[cfg(test)]
pub(crate) use signature::sign as sign_at;
pub(crate) use signature::{BodyDigest, SignableRequest};

use self::replay::{ReplayError, ReplayWindow};
use crate::error::{Code, Error};
use crate::sync::MutexExt as _;

/// The maximum difference between the time of a signature and the clock of the server, in
/// milliseconds.
pub(crate) const VALID_MS: u64 = 30_000;

/// Verifies the signatures of the calls to one server.
pub(crate) struct Verifier {
    keys: IdentityKeys,
    replays: Mutex<ReplayWindow>,
}

impl Verifier {
    pub(crate) fn new(keys: IdentityKeys) -> Self {
        Self {
            keys,
            replays: Mutex::new(ReplayWindow::new(replay::CAPACITY, replay::RETAINED)),
        }
    }

    /// Returns the keys, which also sign the calls that the server makes.
    pub(crate) fn keys(&self) -> &IdentityKeys {
        &self.keys
    }

    /// Verifies the head of a request and returns the digest that the body must have.
    ///
    /// # Errors
    ///
    /// `unauthenticated`, with a text for the operator. Times are in the text only if the signature
    /// is valid.
    pub(crate) fn verify(
        &self,
        signable: &SignableRequest<'_>,
        header: &str,
    ) -> Result<BodyDigest, Error> {
        self.verify_at(signable, header, milliseconds(SystemTime::now()))
    }

    pub(crate) fn verify_at(
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
                "the signature is outside its time of validity: the call was signed {} s {when} by this server's clock, and signatures are valid for \
                 {} s; check the clocks of both hosts",
                age / 1000,
                VALID_MS / 1000
            )));
        }
        let mut replays = self.replays.lock_unpoisoned();
        match replays.admit(signature.time, signature.tag, now) {
            Ok(()) => Ok(signature.body),
            Err(ReplayError::Replayed) => Err(unauthenticated(
                "replayed call: this signature was already used; sign each attempt anew",
            )),
            Err(ReplayError::Discarded) => Err(unauthenticated(
                "signature too old: this server has discarded its replay data of that second, because it is busy or its clock \
                 was set back; sign the call again, and check its clock",
            )),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verifier").field(&self.keys).finish()
    }
}

/// Returns the value of `x-rpc-identity` for an outgoing call.
pub(crate) fn sign(keys: &IdentityKeys, signable: &SignableRequest<'_>, body: &[u8]) -> String {
    let nonce = fastrand::u128(..);
    signature::sign(keys, signable, body, milliseconds(SystemTime::now()), nonce)
}

/// Returns milliseconds since 1970. An earlier time is 0, which no server accepts.
fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn unauthenticated(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::without_location(Code::Unauthenticated, text)
}

#[cfg(test)]
mod tests;
