//! The keys that services share.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use hmac::{Hmac, KeyInit as _};
use sha2::Sha256;

use crate::error::{Code, Error, Result};
use crate::sync::RwLockExt as _;

/// The shortest secret of a key, in bytes.
const SECRET_BYTES: usize = 32;

/// The most keys of one file; two are valid while they are rotated.
const KEY_COUNT: usize = 16;

/// The longest id of a key, in bytes.
const ID_BYTES: usize = 64;

/// The largest key file, in bytes: a path that leads to something else must not fill the memory.
const FILE_BYTES: u64 = 64 << 10;

/// The keys by which services know each other: the first signs, all verify. Cloning is cheap, and clones share what
/// [`reload`](Self::reload) brings.
///
/// A key file has a key a line, an id and a secret; `#` starts a comment. `openssl rand -base64 32` makes a secret.
///
/// ```text
/// # the first one signs
/// 2026-11 pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=
/// 2026-10 Zk3v9c8x7z6Q5w4e3r2t1y0u9i8o7p6a5s4d3f2g1h0=
/// ```
///
/// To rotate: add the new key as the second one everywhere, then make it the first one everywhere, then remove the old
/// one. No call fails meanwhile, since every key that signs is known to everybody.
///
/// Secrets print nowhere:
///
/// ```
/// use rpc_runtime::IdentityKeys;
///
/// let keys = IdentityKeys::parse("2026-11 pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=")?;
/// assert_eq!(format!("{keys:?}"), r#"IdentityKeys(["2026-11"])"#);
/// # Ok::<(), rpc_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct IdentityKeys(Arc<Inner>);

struct Inner {
    file: Option<PathBuf>,
    /// Behind a lock for `reload` only; it is held for as long as a pointer is copied.
    keys: RwLock<Arc<[Key]>>,
}

/// One key, made ready to sign: what is kept is the state of the hash after the secret, and not the secret.
pub(super) struct Key {
    pub(super) id: String,
    pub(super) mac: Hmac<Sha256>,
}

impl IdentityKeys {
    /// Reads a key file.
    ///
    /// # Errors
    ///
    /// `failed_precondition` when the file cannot be read, `invalid_argument` when a line is no key, an id stands twice,
    /// a secret has less than 32 bytes, or there is no key at all. The texts name the line and quote no
    /// secret. A file that others than its owner may read is taken, and a warning says so.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Ok(Self(Arc::new(Inner {
            keys: RwLock::new(read(path)?),
            file: Some(path.to_owned()),
        })))
    }

    /// Keys that come from somewhere else than a file, in the form of one.
    ///
    /// # Errors
    ///
    /// `invalid_argument` as [`from_file`](Self::from_file).
    pub fn parse(text: &str) -> Result<Self> {
        Ok(Self(Arc::new(Inner {
            file: None,
            keys: RwLock::new(parse(text, "the keys")?),
        })))
    }

    /// Reads the file again, for this value and all its clones. A server that [runs](crate::Server::run) does so by
    /// itself on SIGHUP.
    ///
    /// # Errors
    ///
    /// As [`from_file`](Self::from_file), and the keys stay what they were; `failed_precondition` for keys that came
    /// from no file.
    pub fn reload(&self) -> Result<()> {
        let Some(path) = &self.0.file else {
            return Err(Error::without_location(
                Code::FailedPrecondition,
                "these identity keys came from no file",
            ));
        };
        let keys = read(path)?;
        *self.0.keys.write_unpoisoned() = keys;
        Ok(())
    }

    /// The ids of the keys; the first one signs.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.all().iter().map(|key| key.id.clone()).collect()
    }

    /// The keys as they are now; never empty.
    pub(super) fn all(&self) -> Arc<[Key]> {
        Arc::clone(&self.0.keys.read_unpoisoned())
    }
}

impl fmt::Debug for IdentityKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IdentityKeys").field(&self.ids()).finish()
    }
}

fn read(path: &Path) -> Result<Arc<[Key]>> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        let text = format!("the identity key file {shown} cannot be read: {error}");
        Error::without_location(Code::FailedPrecondition, text).with_source(error)
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.len() > FILE_BYTES {
        return Err(invalid(format!(
            "{shown} is no identity key file: it has more than {FILE_BYTES} bytes"
        )));
    }
    warn_if_open(path, &metadata);
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    parse(&text, &shown.to_string())
}

#[cfg(unix)]
fn warn_if_open(path: &Path, metadata: &std::fs::Metadata) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(
            target: "rpc",
            "the identity key file {} has the mode {mode:o}: others than its owner may use it; `chmod 600` it",
            path.display()
        );
    }
}

#[cfg(not(unix))]
fn warn_if_open(_: &Path, _: &std::fs::Metadata) {}

fn parse(text: &str, origin: &str) -> Result<Arc<[Key]>> {
    let mut keys: Vec<Key> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = parse_line(line).and_then(|key| {
            let known = keys.iter().any(|known| known.id == key.id);
            match known {
                true => Err(format!("the id `{}` stands twice", key.id)),
                false => Ok(key),
            }
        });
        keys.push(key.map_err(|why| invalid(format!("line {} of {origin}: {why}", index + 1)))?);
    }
    if keys.is_empty() || keys.len() > KEY_COUNT {
        return Err(invalid(format!(
            "{origin}: {} keys, where 1 to {KEY_COUNT} are due; a line reads `ID SECRET`, and \
             `openssl rand -base64 32` makes a secret",
            keys.len()
        )));
    }
    Ok(keys.into())
}

/// One line as a key, or what is wrong with it. Nothing of a line is quoted that could be a secret.
fn parse_line(line: &str) -> Result<Key, String> {
    let mut words = line.split_whitespace();
    let (Some(id), Some(secret), None) = (words.next(), words.next(), words.next()) else {
        return Err("a key reads `ID SECRET`: two words".to_owned());
    };
    if !is_id(id) {
        return Err(format!(
            "an id is 1 to {ID_BYTES} letters, digits, `-` and `_`; is this the secret?"
        ));
    }
    if secret.len() < SECRET_BYTES {
        return Err(format!(
            "the secret of `{id}` has {} bytes, and at least {SECRET_BYTES} are due; \
             `openssl rand -base64 32` makes one",
            secret.len()
        ));
    }
    let mac = Hmac::new_from_slice(secret.as_bytes()).map_err(|error| error.to_string())?;
    Ok(Key {
        id: id.to_owned(),
        mac,
    })
}

/// Without a dot, which separates the parts of a signature.
pub(super) fn is_id(id: &str) -> bool {
    (1..=ID_BYTES).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn invalid(text: String) -> Error {
    Error::without_location(Code::InvalidArgument, text)
}
