//! Wrapper types that apply the JSON rules for bytes and large integers inside user-defined types.

use std::fmt;
use std::io::Write as _;
use std::marker::PhantomData;
use std::ops::Deref;
use std::str::FromStr;

use serde::de::{self, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};

use super::cursor::Cursor;
use super::value::{Base64Visitor, encode_base64};
use super::{number, tokens};

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
        let bytes = deserializer.deserialize_str(Base64Visitor)?;
        Ok(Self::from(bytes))
    }
}

/// An integer of any size that is written as decimal text, for types that implement `Display` and
/// `FromStr`. It is read from text or from a number. Another text than decimal digits, such as that
/// of `BigNum(0.5)`, is not written.
///
/// A number with a fraction or an exponent, such as `10.0`, is read as an integer in messages of
/// this framework. Other formats and serde's `untagged`, `flatten` and `tag` pass on an `f64`
/// without the digits, which is an error.
///
/// Use it for values beyond 2^53 that clients in JavaScript read: `JSON.parse` rounds such numbers
/// without an error.
///
/// ```
/// use rpc_runtime::BigNum;
///
/// let n = BigNum(u128::MAX);
/// assert_eq!(serde_json::to_string(&n)?, r#""340282366920938463463374607431768211455""#);
/// assert_eq!(serde_json::from_str::<BigNum<u128>>(r#""5""#)?, BigNum(5));
/// assert_eq!(serde_json::from_str::<BigNum<u128>>("5")?, BigNum(5));
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
        // Nearly all texts fit, and need no allocation.
        let mut short = [0; 64];
        let mut free = &mut short[..];
        let is_short = write!(free, "{}", self.0).is_ok();
        let left = free.len();
        let long;
        let text = match str::from_utf8(&short[..short.len() - left]) {
            Ok(text) if is_short => text,
            _ => {
                long = self.0.to_string();
                &long
            }
        };
        match number::decimal_digits(text) {
            Some(_) => serializer.serialize_str(text),
            None => Err(ser::Error::custom(
                "a `BigNum` holds integers, and this value is not decimal digits",
            )),
        }
    }
}

impl<'de, N: FromStr> Deserialize<'de> for BigNum<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Messages of this framework show the digits of a number; other formats pass it on.
        deserializer.deserialize_newtype_struct(tokens::DIGITS, DigitsVisitor(PhantomData))
    }
}

struct DigitsVisitor<N>(PhantomData<N>);

impl<'de, N: FromStr> Visitor<'de> for DigitsVisitor<N> {
    type Value = BigNum<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer as a number or as decimal digits")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<BigNum<N>, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<BigNum<N>, E> {
        match number::decimal_digits(text) {
            Some(_) => parse(text),
            None => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<BigNum<N>, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<BigNum<N>, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<BigNum<N>, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<BigNum<N>, E> {
        self.visit_str(&value.to_string())
    }

    /// Refuses a number whose digits were lost in the conversion to `f64`: `1.00000000000000001` is
    /// 1 then.
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<BigNum<N>, E> {
        Err(E::invalid_type(Unexpected::Float(value), &self))
    }

    /// Reads a number by its digits.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BigNum<N>, A::Error> {
        let number = match map.next_entry::<String, String>()? {
            Some((name, number)) if name == tokens::NUMBER => number,
            _ => return Err(de::Error::invalid_type(Unexpected::Map, &self)),
        };
        match Cursor::whole_number(&number).and_then(|number| number.digits()) {
            Some(digits) => parse(&digits),
            None => Err(de::Error::invalid_value(Unexpected::Other(&number), &self)),
        }
    }
}

fn parse<N: FromStr, E: de::Error>(digits: &str) -> Result<BigNum<N>, E> {
    let value = digits.parse().map(BigNum);
    value.map_err(|_| E::custom("number out of range"))
}
