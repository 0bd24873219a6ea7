//! The keys that services share.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use hmac::{Hmac, KeyInit as _};
use sha2::Sha256;

use crate::error::{Code, Error, Result};
use crate::files;
use crate::sync::RwLockExt as _;

/// The minimum size of a secret, in bytes.
const SECRET_BYTES: usize = 32;

/// The maximum number of keys in a file. Two are in use during a rotation.
const KEY_COUNT: usize = 16;

/// The maximum size of a key ID, in bytes.
const ID_BYTES: usize = 64;

/// The maximum size of a key file, in bytes. A wrong path must not exhaust memory.
const FILE_BYTES: u64 = 64 << 10;

/// The keys with which services authenticate each other. The first key signs; all keys verify.
///
/// Cloning is cheap, and [`reload`](Self::reload) applies to all clones.
///
/// A key file has one key per line: an ID and a secret. `#` starts a comment.
/// `openssl rand -base64 32` generates a secret.
///
/// ```text
/// # the first one signs
/// 2026-11 pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=
/// 2026-10 Zk3v9c8x7z6Q5w4e3r2t1y0u9i8o7p6a5s4d3f2g1h0=
/// ```
///
/// To rotate keys, add the new key in second place on all hosts, then move it to the first place on
/// all hosts, then remove the old key. No call fails, because every host knows each key before it
/// signs.
///
/// Secrets are never printed:
///
/// ```
/// use rpc_runtime::IdentityKeys;
///
/// let keys = IdentityKeys::parse("2026-11 pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=")?;
/// assert_eq!(format!("{keys:?}"), r#"IdentityKeys(["2026-11"])"#);
/// # Ok::<(), rpc_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct IdentityKeys(Arc<KeySet>);

struct KeySet {
    file: Option<PathBuf>,
    /// Locked only while a pointer is copied. Written by `reload`.
    keys: RwLock<Arc<[IdentityKey]>>,
}

/// A key, stored as the state of the HMAC after the secret. The secret itself is not stored.
pub(super) struct IdentityKey {
    pub(super) id: String,
    pub(super) mac: Hmac<Sha256>,
}

impl IdentityKeys {
    /// Reads a key file.
    ///
    /// # Errors
    ///
    /// `failed_precondition` if the file cannot be read, or if other users own it or can write it
    /// or its folder (see [`files`](crate::files)). `invalid_argument` for an invalid line, a
    /// duplicate ID, a secret of less than 32 bytes, or a file without keys. The texts name the
    /// line and contain no secrets. A file that other users can read is accepted with a warning.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Ok(Self(Arc::new(KeySet {
            keys: RwLock::new(read(path)?),
            file: Some(path.to_owned()),
        })))
    }

    /// Parses keys in the format of a key file.
    ///
    /// # Errors
    ///
    /// `invalid_argument` as for [`from_file`](Self::from_file).
    pub fn parse(text: &str) -> Result<Self> {
        Ok(Self(Arc::new(KeySet {
            file: None,
            keys: RwLock::new(parse(text, "the keys")?),
        })))
    }

    /// Reads the file again, for this value and all its clones. [`Server::run`](crate::Server::run)
    /// does so on SIGHUP.
    ///
    /// # Errors
    ///
    /// See [`from_file`](Self::from_file). `failed_precondition` for keys that were not read from a
    /// file. The keys are unchanged after an error.
    pub fn reload(&self) -> Result<()> {
        let Some(path) = &self.0.file else {
            return Err(Error::without_location(
                Code::FailedPrecondition,
                "cannot reload identity keys that were not read from a file",
            ));
        };
        let keys = read(path)?;
        *self.0.keys.write_unpoisoned() = keys;
        Ok(())
    }

    /// Returns whether the keys were read from a file.
    #[cfg(feature = "server")]
    pub(crate) fn is_from_file(&self) -> bool {
        self.0.file.is_some()
    }

    /// Returns the IDs of the keys. The first key signs.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.all().iter().map(|key| key.id.clone()).collect()
    }

    /// Returns the current keys, at least one.
    pub(super) fn all(&self) -> Arc<[IdentityKey]> {
        Arc::clone(&self.0.keys.read_unpoisoned())
    }
}

impl fmt::Debug for IdentityKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IdentityKeys").field(&self.ids()).finish()
    }
}

fn read(path: &Path) -> Result<Arc<[IdentityKey]>> {
    let shown = path.display();
    let text = files::read_text(path, FILE_BYTES).map_err(|error| {
        if error.is_about_content() {
            return invalid(format!("invalid identity key file {shown}: {error}"));
        }
        let text = format!("failed to read the identity key file {shown}: {error}");
        Error::without_location(Code::FailedPrecondition, text).with_source(error)
    })?;
    if let Ok(Some(mode)) = files::is_readable_by_others(path) {
        tracing::warn!(
            target: "rpc",
            "the identity key file {shown} has mode {mode:o}, so other users can read it; run `chmod 600` on it"
        );
    }
    parse(&text, &shown.to_string())
}

fn parse(text: &str, origin: &str) -> Result<Arc<[IdentityKey]>> {
    let mut keys: Vec<IdentityKey> = Vec::new();
    for (index, line) in files::without_mark(text).lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = parse_line(line).and_then(|key| {
            let known = keys.iter().any(|known| known.id == key.id);
            match known {
                true => Err(format!("duplicate key ID `{}`", key.id)),
                false => Ok(key),
            }
        });
        keys.push(key.map_err(|why| invalid(format!("line {} of {origin}: {why}", index + 1)))?);
    }
    if keys.is_empty() || keys.len() > KEY_COUNT {
        return Err(invalid(format!(
            "{origin}: {} keys, expected 1 to {KEY_COUNT}; write a line `ID SECRET` for each key; \
             `openssl rand -base64 32` generates a secret",
            keys.len()
        )));
    }
    Ok(keys.into())
}

/// Parses one line. The error contains no part of the line that may be a secret.
fn parse_line(line: &str) -> Result<IdentityKey, String> {
    let mut words = line.split_whitespace();
    let (Some(id), Some(secret), None) = (words.next(), words.next(), words.next()) else {
        return Err("expected two words: `ID SECRET`".to_owned());
    };
    if !is_id(id) {
        return Err(format!(
            "invalid key ID: expected 1 to {ID_BYTES} letters, digits, `-` and `_`, before the secret"
        ));
    }
    if secret.starts_with(is_quote) || secret.ends_with(is_quote) {
        return Err(format!(
            "the secret of `{id}` is in quotes, which would be a part of it; remove them"
        ));
    }
    if secret.len() < SECRET_BYTES {
        return Err(format!(
            "the secret of `{id}` has {} bytes, expected at least {SECRET_BYTES}; \
             `openssl rand -base64 32` generates one",
            secret.len()
        ));
    }
    let mac = Hmac::new_from_slice(secret.as_bytes()).map_err(|error| error.to_string())?;
    Ok(IdentityKey {
        id: id.to_owned(),
        mac,
    })
}

/// Returns whether this is a quote of shells and other formats, or one that a word processor makes.
fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '`' | '\u{2018}'..='\u{201f}')
}

/// Returns whether this is a valid key ID. A dot is not allowed, because it separates the parts of
/// a signature.
pub(super) fn is_id(id: &str) -> bool {
    (1..=ID_BYTES).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn invalid(text: String) -> Error {
    Error::without_location(Code::InvalidArgument, text)
}
