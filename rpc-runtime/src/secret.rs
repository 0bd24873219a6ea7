//! A value that travels on the wire and prints nowhere.

use std::cell::Cell;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that is sent as it is and masked everywhere else: logs, `Debug`, error texts of a failed decode.
///
/// ```
/// use rpc_runtime::Secret;
///
/// let password = Secret::new("hunter2".to_owned());
/// assert_eq!(format!("{password:?} {password}"), "*** ***");
/// assert_eq!(password.expose(), "hunter2");
/// assert_eq!(serde_json::to_string(&password)?, r#""hunter2""#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Secret<T>(T);

thread_local! {
    /// Whether what is serialized now is for people.
    static MASKED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a closure within which secrets serialize as `***`: for what is written to be shown and not to be sent.
pub(crate) fn masked<R>(f: impl FnOnce() -> R) -> R {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            MASKED.set(self.0);
        }
    }
    let _back = Back(MASKED.replace(true));
    f()
}

impl<T> Secret<T> {
    /// Hides a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value. The name is long so that a reviewer sees each place.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The value, by move.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: Serialize> Serialize for Secret<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if MASKED.try_with(Cell::get).unwrap_or_default() {
            return serializer.serialize_str("***");
        }
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde's messages quote the value that they refuse.
        T::deserialize(deserializer)
            .map(Self)
            .map_err(|_| serde::de::Error::custom("not a valid secret (its value is not shown)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_secret_is_not_quoted() {
        let error = serde_json::from_str::<Secret<u32>>(r#""canary""#)
            .unwrap_err()
            .to_string();
        assert!(!error.contains("canary"), "{error}");
    }
}
