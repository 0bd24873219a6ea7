//! Wrapper types that apply the JSON rules for bytes and large integers inside user-defined types.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::value::{decode_base64, encode_base64};

/// Bytes that are serialized as base64.
///
/// Arguments of type `&[u8]` and `Vec<u8>` are base64 without it. Use it for fields of structs.
///
/// ```
/// use rpc_runtime::Bytes;
///
/// let bytes = Bytes::from(vec![0, 255]);
/// assert_eq!(serde_json::to_string(&bytes)?, r#""AP8=""#);
/// assert_eq!(serde_json::from_str::<Bytes>(r#""AP8""#)?, bytes);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bytes(bytes::Bytes);

impl Bytes {
    /// Returns the bytes. They are cheap to clone and to slice.
    #[must_use]
    pub fn into_inner(self) -> bytes::Bytes {
        self.0
    }
}

impl<B: Into<bytes::Bytes>> From<B> for Bytes {
    fn from(bytes: B) -> Self {
        Self(bytes.into())
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode_base64(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        decode_base64(&text)
            .map(Self::from)
            .map_err(|()| de::Error::custom("not base64"))
    }
}

/// An integer of any size that is serialized as a decimal string, for types that implement
/// `Display` and `FromStr`.
///
/// ```
/// use rpc_runtime::BigNum;
///
/// let n = BigNum(u128::MAX);
/// assert_eq!(serde_json::to_string(&n)?, r#""340282366920938463463374607431768211455""#);
/// assert_eq!(serde_json::from_str::<BigNum<u128>>(r#""5""#)?, BigNum(5));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BigNum<N>(pub N);

impl<N: fmt::Display> fmt::Display for BigNum<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<N: fmt::Display> Serialize for BigNum<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, N: FromStr> Deserialize<'de> for BigNum<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix('-').unwrap_or(&text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(de::Error::custom("expected a decimal integer in a string"));
        }
        text.parse()
            .map(Self)
            .map_err(|_| de::Error::custom("number out of range"))
    }
}
