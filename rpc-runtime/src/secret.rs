//! A value that is sent on the wire and never printed.

use std::cell::Cell;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that is serialized normally and masked in `Debug`, `Display`, logs and decode errors.
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
    /// Whether secrets are serialized for display and not for the wire.
    static MASKED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a closure in which secrets serialize as `***`, for data that is displayed.
pub(crate) fn masked<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            MASKED.set(self.0);
        }
    }
    let _restore = Restore(MASKED.replace(true));
    f()
}

/// Returns whether secrets serialize as `***`.
pub(crate) fn is_masked() -> bool {
    MASKED.get()
}

impl<T> Secret<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Returns the value. Each use of this method is visible in a review.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Unwraps the value.
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
        // The messages of serde quote invalid values.
        T::deserialize(deserializer)
            .map(Self)
            .map_err(|_| serde::de::Error::custom("not a valid secret (its value is not shown)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decode_error_does_not_quote_a_secret() {
        let error = serde_json::from_str::<Secret<u32>>(r#""canary""#)
            .unwrap_err()
            .to_string();
        assert!(!error.contains("canary"), "{error}");
    }
}
