//! The keys that verify tokens. The algorithm belongs to the key, never to the token.

use std::fmt;
use std::sync::{Arc, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};
use serde::Deserialize as _;
use serde_json::Value;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::Uint;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use crate::error::{Code, Error, Result};
use crate::sync::RwLockExt as _;
use crate::text::EscapeControl;

/// The maximum number of keys. A token that names none may be compared with all of them.
const MAX_KEYS: usize = 32;

/// The maximum length of a name of a key in a text, in bytes.
const QUOTED: usize = 64;

/// The types of public keys. Sources: RFC 8017, appendix A.1; RFC 5480, section 2.1; RFC 8410.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A key that verifies JSON Web Tokens, with its algorithm. Needs the feature `jwt`.
#[derive(Clone)]
pub struct JwtKey {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

impl JwtKey {
    /// Creates a key from a secret that is shared with the issuer, with the algorithm HS256.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for a secret below 32 bytes, which could be guessed.
    pub fn hmac(secret: impl AsRef<[u8]>) -> Result<Self> {
        Self::checked(DecodingKey::from_secret(secret.as_ref()), Algorithm::HS256)
    }

    /// Reads a public key in PEM (`PUBLIC KEY` or `RSA PUBLIC KEY`). The algorithm is RS256 for
    /// RSA, ES256 or ES384 for EC by the curve, and `EdDSA` for Ed25519.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for another text, type of key or curve, and for RSA below 2048 bits.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self> {
        let (label, der) = pem_block(pem.as_ref())?;
        if label == "RSA PUBLIC KEY" {
            return Self::rsa(&der);
        }
        if label != "PUBLIC KEY" {
            let label = EscapeControl(&label).truncated(QUOTED);
            return Err(invalid(format!(
                "the PEM text has a `{label}`; expected a `PUBLIC KEY`, as `openssl pkey -pubout` writes it"
            )));
        }
        let content = SubjectPublicKeyInfoOwned::from_der(&der);
        let content = content.map_err(|_| invalid("the PEM text has no valid public key"))?;
        let bytes = content.subject_public_key.raw_bytes();
        match content.algorithm.oid {
            RSA => Self::rsa(bytes),
            EC => Self::ec(DecodingKey::from_ec_der(bytes)),
            ED25519 => Self::checked(DecodingKey::from_ed_der(bytes), Algorithm::EdDSA),
            other => Err(invalid(format!(
                "the type {other} of the public key is not supported; use RSA, EC or Ed25519"
            ))),
        }
    }

    /// Sets another algorithm of the same type of key: `HS384` or `HS512` of a secret; `RS384`,
    /// `RS512`, `PS256`, `PS384` or `PS512` of RSA.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for an algorithm that the key does not fit.
    pub fn with_algorithm(self, algorithm: &str) -> Result<Self> {
        let known = algorithm.parse::<Algorithm>();
        let known = known.map_err(|_| invalid("the name of the algorithm is not known"))?;
        let id = self.id;
        Self::checked(self.key, known).map(|key| Self { id, ..key })
    }

    /// Sets the name of the key: a token that names another one in `kid` is not verified by it.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Reads a key of a JWK set. `None` for a key that does not sign.
    fn from_jwk(jwk: &Jwk) -> Result<Option<Self>> {
        let common = &jwk.common;
        let is_signature = |usage: &PublicKeyUse| *usage == PublicKeyUse::Signature;
        let verifies = |operations: &Vec<_>| operations.contains(&KeyOperations::Verify);
        if !common.public_key_use.as_ref().is_none_or(is_signature)
            || !common.key_operations.as_ref().is_none_or(verifies)
        {
            return Ok(None);
        }
        let key = DecodingKey::from_jwk(jwk).map_err(|_| invalid("its value is not valid"))?;
        let key = match (&common.key_algorithm, &jwk.algorithm) {
            (Some(algorithm), _) => {
                let algorithm = Algorithm::try_from(*algorithm);
                let algorithm = algorithm.map_err(|_| invalid("its algorithm does not sign"))?;
                Self::checked(key, algorithm)?
            }
            (None, AlgorithmParameters::RSA(_)) => Self::checked(key, Algorithm::RS256)?,
            (None, AlgorithmParameters::EllipticCurve(_)) => Self::ec(key)?,
            (None, AlgorithmParameters::OctetKeyPair(_)) => Self::checked(key, Algorithm::EdDSA)?,
            (None, _) => Self::checked(key, Algorithm::HS256)?,
        };
        let id = common.key_id.clone();
        Ok(Some(Self { id, ..key }))
    }

    /// Reads an RSA key in the form of PKCS #1.
    fn rsa(der: &[u8]) -> Result<Self> {
        let numbers = Vec::<Uint>::from_der(der).unwrap_or_default();
        let [modulus, exponent] = &*numbers else {
            return Err(invalid("the PEM text has no valid RSA key"));
        };
        let key = DecodingKey::from_rsa_raw_components(modulus.as_bytes(), exponent.as_bytes());
        Self::checked(key, Algorithm::RS256)
    }

    fn ec(key: DecodingKey) -> Result<Self> {
        let is_p384 = size(&key) == P384_POINT;
        let algorithm = if is_p384 {
            Algorithm::ES384
        } else {
            Algorithm::ES256
        };
        Self::checked(key, algorithm)
    }

    /// Creates a key if it has a size of the algorithm.
    fn checked(key: DecodingKey, algorithm: Algorithm) -> Result<Self> {
        let (least, most) = match algorithm {
            // Not below the size of the hash. Source: RFC 7518, section 3.2.
            Algorithm::HS256 => (32, usize::MAX),
            Algorithm::HS384 => (48, usize::MAX),
            Algorithm::HS512 => (64, usize::MAX),
            Algorithm::ES256 => (P256_POINT, P256_POINT),
            Algorithm::ES384 => (P384_POINT, P384_POINT),
            Algorithm::EdDSA => (32, 32),
            _ => (2048 / 8, 8192 / 8),
        };
        if key.family() != algorithm.family() {
            let text = format!("the key has another type than the algorithm {algorithm:?}");
            return Err(invalid(text));
        }
        if !(least..=most).contains(&size(&key)) {
            let what = match algorithm.family() {
                AlgorithmFamily::Hmac => format!("a secret of at least {least} bytes"),
                AlgorithmFamily::Rsa => "RSA with 2048 to 8192 bits".to_owned(),
                AlgorithmFamily::Ec => "the curve P-256 (ES256) or P-384 (ES384)".to_owned(),
                AlgorithmFamily::Ed => "the curve Ed25519".to_owned(),
            };
            return Err(invalid(format!("{algorithm:?} needs {what}")));
        }
        Ok(Self {
            id: None,
            algorithm,
            key,
        })
    }
}

/// The size of a point of a curve, in bytes: its form, x and y.
const P256_POINT: usize = 65;
const P384_POINT: usize = 97;

/// Returns the size of a key in bytes; of RSA, that of the modulus.
fn size(key: &DecodingKey) -> usize {
    match key.kind() {
        DecodingKeyKind::SecretOrDer(bytes) => bytes.len(),
        DecodingKeyKind::RsaModulusExponent { n, .. } => n.len(),
    }
}

/// Reads the only block of a PEM text: its label and its content.
fn pem_block(pem: &[u8]) -> Result<(String, Vec<u8>)> {
    let parts = || {
        let text = std::str::from_utf8(pem).ok()?.trim();
        let (label, rest) = text.strip_prefix("-----BEGIN ")?.split_once("-----")?;
        let body = rest.strip_suffix(&format!("-----END {label}-----"))?;
        let body: String = body.split_ascii_whitespace().collect();
        Some((label.to_owned(), STANDARD.decode(body).ok()?))
    };
    parts().ok_or_else(|| invalid("the text is not PEM with one public key"))
}

fn invalid(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::without_location(Code::InvalidArgument, text)
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.as_deref().unwrap_or("-");
        write!(f, "JwtKey({id}, {:?})", self.algorithm)
    }
}

/// The keys that verify tokens, which may be replaced while the server runs. Clones share them.
/// Needs the feature `jwt`.
#[derive(Debug, Clone)]
pub struct JwtKeys(Arc<RwLock<Arc<[JwtKey]>>>);

impl JwtKeys {
    /// Creates a set of keys.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for no key, and for more than 32.
    pub fn new(keys: impl IntoIterator<Item = JwtKey>) -> Result<Self> {
        let keys: Arc<[JwtKey]> = keys.into_iter().take(MAX_KEYS + 1).collect();
        if keys.is_empty() || keys.len() > MAX_KEYS {
            let text = format!("a set of keys needs at least one key and at most {MAX_KEYS}");
            return Err(invalid(text));
        }
        Ok(Self(Arc::new(RwLock::new(keys))))
    }

    /// Reads a JWK set, as `jwks_uri` of an issuer serves it. A key without `alg` has the algorithm
    /// of its type, as in [`JwtKey::from_pem`]. Keys for encryption are left out, and so are those
    /// that cannot be used, which are logged.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for another value, for a set without usable keys, and for more than 32.
    pub fn from_jwk_set(set: &Value) -> Result<Self> {
        let Some(list) = set.get("keys").and_then(Value::as_array) else {
            return Err(invalid("the value is not a JWK set: it has no list `keys`"));
        };
        let mut keys = Vec::new();
        for value in list {
            let read = Jwk::deserialize(value);
            let read = read.map_err(|_| invalid("its type or a field is not known"));
            match read.and_then(|jwk| JwtKey::from_jwk(&jwk)) {
                Ok(Some(key)) => keys.push(key),
                Ok(None) => {}
                Err(error) => {
                    let id = value.get("kid").and_then(Value::as_str).unwrap_or_default();
                    tracing::warn!(
                        target: "rpc",
                        kid = EscapeControl(id).truncated(QUOTED),
                        reason = error.message(),
                        "a key of a JWK set is not used"
                    );
                }
            }
        }
        Self::new(keys)
    }

    /// Replaces the keys, as after a rotation: `keys` verify all tokens from now on.
    pub fn replace(&self, keys: impl Into<Self>) {
        let keys = keys.into().current();
        *self.0.write_unpoisoned() = keys;
    }

    pub(super) fn current(&self) -> Arc<[JwtKey]> {
        Arc::clone(&self.0.read_unpoisoned())
    }
}

impl From<JwtKey> for JwtKeys {
    fn from(key: JwtKey) -> Self {
        Self(Arc::new(RwLock::new(Arc::new([key]))))
    }
}
