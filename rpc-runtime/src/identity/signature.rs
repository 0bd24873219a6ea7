//! The signature of a call: the signed text, and the header that carries the signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use super::keys::{self, IdentityKey};
use super::{IdentityKeys, unauthenticated};
use crate::error::Error;

/// The version of the format of the header and of the signed text.
const VERSION: &str = "v1";

/// The number of hex digits of a nonce.
const NONCE_DIGITS: usize = 32;

/// The signed parts of a request, in addition to the header.
pub(crate) struct SignableRequest<'a> {
    /// The full name of the called service.
    pub(crate) audience: &'a str,
    /// The host of the called server, in lower case and without a port.
    pub(crate) host: &'a str,
    /// The HTTP method.
    pub(crate) verb: &'a str,
    /// Path and query.
    pub(crate) target: &'a str,
    /// The headers from which the context is read, sorted by name. Headers with the same name keep
    /// their order.
    pub(crate) headers: Vec<(&'a str, &'a [u8])>,
}

/// The SHA-256 of the body of a signed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodyDigest([u8; 32]);

impl BodyDigest {
    pub(crate) fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }

    /// Checks that a body has this digest. The digest is public, so the comparison need not take
    /// constant time.
    ///
    /// # Errors
    ///
    /// `unauthenticated` for another body.
    pub(crate) fn check(&self, body: &[u8]) -> Result<(), Error> {
        if *self == Self::of(body) {
            return Ok(());
        }
        Err(unauthenticated(
            "the body does not match the signature: it was changed in transit",
        ))
    }
}

/// A signature by a known key. Its time is not checked yet.
#[derive(Debug)]
pub(super) struct Signature {
    /// The time of the signature, in milliseconds since 1970.
    pub(super) time: u64,
    pub(super) body: BodyDigest,
    /// Eight bytes of the MAC. They differ for each call and cannot be chosen without the key.
    pub(super) tag: u64,
}

/// Returns the header for a call.
pub(crate) fn sign(
    keys: &IdentityKeys,
    signable: &SignableRequest<'_>,
    body: &[u8],
    time: u64,
    nonce: u128,
) -> String {
    let keys = keys.all();
    // `IdentityKeys` always holds a key.
    let Some(key) = keys.first() else {
        return String::new();
    };
    let digest = URL_SAFE_NO_PAD.encode(BodyDigest::of(body).0);
    let mut header = format!("{VERSION}.{}.{time}.{nonce:032x}.{digest}", key.id);
    let mac = mac(key, &header, signable).finalize().into_bytes();
    header.push('.');
    URL_SAFE_NO_PAD.encode_string(mac, &mut header);
    header
}

/// Parses a header and verifies that a known key has signed this request.
pub(super) fn verify(
    keys: &IdentityKeys,
    signable: &SignableRequest<'_>,
    header: &str,
) -> Result<Signature, Error> {
    let (signed, mac_text) = header.rsplit_once('.').ok_or_else(malformed)?;
    let mut parts = signed.split('.');
    let mut next = || parts.next().ok_or_else(malformed);
    let (version, id, time, nonce, digest) = (next()?, next()?, next()?, next()?, next()?);
    let hex = nonce.len() == NONCE_DIGITS && nonce.bytes().all(|b| b.is_ascii_hexdigit());
    let digits = !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit());
    if version != VERSION || parts.next().is_some() || !keys::is_id(id) || !hex || !digits {
        return Err(malformed());
    }
    let time = time.parse().map_err(|_| malformed())?;
    let body = BodyDigest(bytes(digest)?);
    let sent: [u8; 32] = bytes(mac_text)?;
    let keys = keys.all();
    let key = keys.iter().find(|key| key.id == id).ok_or_else(|| {
        unauthenticated(format!(
            "unknown identity key `{id}`: both sides need the same key file; add a new key to all servers before one signs \
             with it"
        ))
    })?;
    // Compares in constant time.
    mac(key, signed, signable).verify_slice(&sent).map_err(|_| {
        unauthenticated(format!(
            "invalid signature: the request or its host was changed in transit, it was signed for another service, or \
             the key `{id}` has another secret on this server"
        ))
    })?;
    let [a, b, c, d, e, f, g, h, ..] = sent;
    Ok(Signature {
        time,
        body,
        tag: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
    })
}

/// Returns the MAC of the signed lines. No part contains a line feed, so two requests never have
/// the same lines.
fn mac(key: &IdentityKey, header: &str, signable: &SignableRequest<'_>) -> Hmac<Sha256> {
    let mut mac = key.mac.clone();
    let mut line = |parts: &[&[u8]]| {
        for part in parts {
            mac.update(part);
        }
        mac.update(b"\n");
    };
    line(&[header.as_bytes()]);
    line(&[signable.audience.as_bytes()]);
    line(&[signable.host.as_bytes()]);
    line(&[signable.verb.as_bytes(), b" ", signable.target.as_bytes()]);
    for (name, value) in &signable.headers {
        line(&[name.as_bytes(), b":", value]);
    }
    mac
}

fn bytes(text: &str) -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(32) => Ok(bytes),
        _ => Err(malformed()),
    }
}

fn malformed() -> Error {
    unauthenticated("invalid header x-rpc-identity: expected `v1.KEY.TIME.NONCE.BODY.MAC`")
}
