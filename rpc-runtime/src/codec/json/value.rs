//! The values of a message, and the types whose JSON form differs from serde's.

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::{Deserialize, Serialize, forward_to_deserialize_any};

use super::{DecodeError, EncodeError};
use crate::codec::base64::{self, Engine as _};

/// A position in a body, at the start of a value.
#[derive(Debug)]
pub struct Cursor<'b> {
    body: &'b [u8],
    at: usize,
}

impl<'b> Cursor<'b> {
    pub(crate) fn new(body: &'b [u8]) -> Self {
        Self { body, at: 0 }
    }

    /// Skips white space and returns the next byte.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while matches!(self.body.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        self.body.get(self.at).copied()
    }

    pub(super) fn advance(&mut self) {
        self.at += 1;
    }

    /// Reads the name of a field. The cursor must be at its opening quote.
    pub(super) fn name(&mut self) -> Result<Cow<'b, str>, DecodeError> {
        let start = self.at + 1;
        let rest = self.body.get(start..).unwrap_or_default();
        // Fast path: printable ASCII without escapes.
        match rest
            .iter()
            .position(|b| *b == b'"' || *b == b'\\' || !(b' '..=b'~').contains(b))
        {
            Some(end)
                if rest[end] == b'"'
                    && let Ok(name) = std::str::from_utf8(&rest[..end]) =>
            {
                self.at = start + end + 1;
                Ok(Cow::Borrowed(name))
            }
            _ => self.parse::<String>().map(Cow::Owned),
        }
    }

    /// Reads one value and moves past it.
    pub(super) fn parse<T: DeserializeOwned>(&mut self) -> Result<T, DecodeError> {
        let rest = &self.body[self.at..];
        let mut stream = serde_json::Deserializer::from_slice(rest).into_iter::<T>();
        match stream.next() {
            Some(Ok(value)) => {
                self.at += stream.byte_offset();
                Ok(value)
            }
            Some(Err(error)) => Err(locate_error::<T>(rest, self.at, &error)),
            None => Err(self.error_here("the message is incomplete")),
        }
    }

    /// Skips a `null`. Returns `false` if the value is not `null`.
    pub(crate) fn null(&mut self) -> bool {
        self.peek();
        let null = self.body[self.at..].starts_with(b"null")
            && !self
                .body
                .get(self.at + 4)
                .is_some_and(u8::is_ascii_alphanumeric);
        if null {
            self.at += 4;
        }
        null
    }

    pub(super) fn error_here(&self, text: &str) -> DecodeError {
        DecodeError::new(format!("{text} (byte {} of {})", self.at, self.body.len()))
    }
}

/// Adds the path to an error by parsing the value a second time, so that successful reads do not
/// pay for it. `json` starts at byte `start` of the message.
pub(crate) fn locate_error<T: DeserializeOwned>(
    json: &[u8],
    start: usize,
    error: &serde_json::Error,
) -> DecodeError {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(located) if located.inner().is_data() => {
            let path = located.path().to_string();
            DecodeError::at(
                if path == "." { "" } else { &path },
                redacted_text(located.inner()),
            )
        }
        // For a syntax error the byte position is more useful than a path.
        _ => DecodeError::new(format!(
            "{} (byte {})",
            redacted_text(error),
            start + byte_offset(json, error)
        )),
    }
}

/// Returns serde's description without the position, and without the quoted value of a type
/// mismatch, because the value may be a secret in the wrong field.
fn redacted_text(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    text.truncate(text.rfind(" at line ").unwrap_or(text.len()));
    if let (Some(from), Some(to)) = (text.find("string \""), text.rfind("\", expected"))
        && from + 7 <= to
    {
        text.replace_range(from + 6..=to, "");
    }
    text
}

/// Returns the byte offset of a syntax error. serde_json counts lines and columns from 1.
fn byte_offset(json: &[u8], error: &serde_json::Error) -> usize {
    let lines = json.split_inclusive(|b| *b == b'\n');
    let before: usize = lines
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    (before + error.column().saturating_sub(1)).min(json.len())
}

/// Reads a type whose JSON form differs from serde's by way of a wrapper type.
macro_rules! read_special {
    ($cursor:ident as $type:ident: $($plain:ty = $form:ty),* $(,)?) => {
        $(if TypeId::of::<$type>() == TypeId::of::<$plain>() {
            return $cursor.parse::<$form>().map(|form| cast_same_type(<$plain>::from(form)));
        })*
    };
}

/// Reads a value. The type comparisons are resolved at compile time, so other types pay nothing.
pub(crate) fn read<T: DeserializeOwned + 'static>(
    cursor: &mut Cursor<'_>,
) -> Result<T, DecodeError> {
    read_special!(cursor as T:
        u64 = Integer<u64>, i64 = Integer<i64>, u128 = Integer<u128>, i128 = Integer<i128>, Vec<u8> = Base64,
        Option<u64> = Nullable<Integer<u64>>, Option<i64> = Nullable<Integer<i64>>,
        Option<u128> = Nullable<Integer<u128>>, Option<i128> = Nullable<Integer<i128>>, Option<Vec<u8>> = Nullable<Base64>,
        Vec<u64> = List<Integer<u64>>, Vec<i64> = List<Integer<i64>>,
        Vec<u128> = List<Integer<u128>>, Vec<i128> = List<Integer<i128>>, Vec<Vec<u8>> = List<Base64>,
        f32 = Finite, Option<f32> = Nullable<Finite>, Vec<f32> = List<Finite>,
    );
    cursor.parse()
}

/// Writes a value. See [`read`].
pub(crate) fn write<T: Serialize + 'static>(
    value: &T,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    macro_rules! special {
        ($($plain:ty => $write:expr),* $(,)?) => {
            $(if let Some(value) = (value as &dyn Any).downcast_ref::<$plain>() {
                return $write(value, out);
            })*
        };
    }
    special! {
        Vec<u8> => |bytes: &Vec<u8>, out: &mut Vec<u8>| { write_bytes(bytes, out); Ok(()) },
        Option<Vec<u8>> => |bytes: &Option<Vec<u8>>, out| write_nullable(bytes.as_ref().map(|bytes| base64::STANDARD.encode(bytes)).as_deref(), out),
        Vec<Vec<u8>> => |list: &Vec<Vec<u8>>, out| write_plain(&list.iter().map(|bytes| base64::STANDARD.encode(bytes)).collect::<Vec<_>>(), out),
        u128 => |n: &u128, out| write_plain(&n.to_string(), out),
        i128 => |n: &i128, out| write_plain(&n.to_string(), out),
        Option<u128> => |n: &Option<u128>, out| write_nullable(n.map(|n| n.to_string()).as_deref(), out),
        Option<i128> => |n: &Option<i128>, out| write_nullable(n.map(|n| n.to_string()).as_deref(), out),
        Vec<u128> => |list: &Vec<u128>, out| write_plain(&list.iter().map(u128::to_string).collect::<Vec<_>>(), out),
        Vec<i128> => |list: &Vec<i128>, out| write_plain(&list.iter().map(i128::to_string).collect::<Vec<_>>(), out),
        f64 => |n: &f64, out| check_finite(*n).and_then(|()| write_plain(n, out)),
        f32 => |n: &f32, out| check_finite(f64::from(*n)).and_then(|()| write_plain(n, out)),
    }
    write_plain(value, out)
}

/// Writes a value in its serde form.
pub(crate) fn write_plain<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    serde_json::to_writer(out, value).map_err(EncodeError::from)
}

/// Writes bytes as base64.
pub(crate) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The slice has the exact size of the encoding.
    let written = base64::STANDARD
        .encode_slice(bytes, &mut out[start..])
        .unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

fn write_nullable(text: Option<&str>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    write_plain(&text, out)
}

/// Rejects NaN and infinities. serde_json writes them as `null`, which would be a missing field.
fn check_finite(n: f64) -> Result<(), EncodeError> {
    if n.is_finite() {
        Ok(())
    } else {
        Err(EncodeError::new(format!(
            "{n} cannot be represented in JSON"
        )))
    }
}

/// Returns the value of a missing field: `None` for an `Option`, `()` for a unit. Returns no value
/// for all other types.
pub(crate) fn default_if_missing<T: DeserializeOwned>() -> Option<T> {
    T::deserialize(MissingField).ok()
}

/// The deserializer of a missing field. serde itself uses the same technique for missing fields.
struct MissingField;

impl<'de> Deserializer<'de> for MissingField {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("missing field"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_none()
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// Casts a value to its own type. `A` and `T` are the same, which the compiler cannot see.
fn cast_same_type<A: 'static, T: 'static>(value: A) -> T {
    let mut slot = Some(value);
    match (&mut slot as &mut dyn Any)
        .downcast_mut::<Option<T>>()
        .and_then(Option::take)
    {
        Some(value) => value,
        None => unreachable!("internal error: `A` and `T` are different types"),
    }
}

/// An integer that is read from a number or from a decimal string, as ProtoJSON writes 64-bit ones.
struct Integer<N>(N);

/// The wrapper of an `Option`.
#[derive(Deserialize)]
#[serde(transparent)]
struct Nullable<F>(Option<F>);

#[derive(Deserialize)]
#[serde(transparent)]
struct List<F>(Vec<F>);

/// A finite `f32`.
struct Finite(f32);

/// Bytes that are read from base64 in the standard or the URL alphabet, with or without padding.
struct Base64(Vec<u8>);

macro_rules! forms {
    ($($form:ty => $plain:ty),* $(,)?) => {
        $(
            impl From<$form> for $plain {
                fn from(form: $form) -> Self {
                    form.0
                }
            }
            impl From<Nullable<$form>> for Option<$plain> {
                fn from(form: Nullable<$form>) -> Self {
                    form.0.map(<$plain>::from)
                }
            }
            impl From<List<$form>> for Vec<$plain> {
                fn from(form: List<$form>) -> Self {
                    form.0.into_iter().map(<$plain>::from).collect()
                }
            }
        )*
    };
}

forms! {
    Integer<u64> => u64,
    Integer<i64> => i64,
    Integer<u128> => u128,
    Integer<i128> => i128,
    Base64 => Vec<u8>,
    Finite => f32,
}

impl<'de, N> Deserialize<'de> for Integer<N>
where
    N: TryFrom<i128> + TryFrom<u128> + std::str::FromStr,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyForm<N>(PhantomData<N>);

        impl<N> Visitor<'_> for AnyForm<N>
        where
            N: TryFrom<i128> + TryFrom<u128> + std::str::FromStr,
        {
            type Value = Integer<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(
                    f,
                    "an integer ({}) as a number or a decimal string",
                    std::any::type_name::<N>()
                )
            }

            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Self::Value, E> {
                N::try_from(i128::from(n))
                    .map(Integer)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(n), &self))
            }

            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Self::Value, E> {
                N::try_from(u128::from(n))
                    .map(Integer)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(n), &self))
            }

            fn visit_f64<E: de::Error>(self, n: f64) -> Result<Self::Value, E> {
                // Larger floats do not represent every integer.
                const EXACT: f64 = 9_007_199_254_740_992.0;
                if n.fract() == 0.0 && n.abs() <= EXACT {
                    #[allow(
                        clippy::cast_possible_truncation,
                        reason = "an integer of at most 2^53"
                    )]
                    return self.visit_i64(n as i64);
                }
                Err(E::invalid_value(de::Unexpected::Float(n), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                // `FromStr` accepts a leading `+`, JSON does not.
                let digits = text.strip_prefix('-').unwrap_or(text);
                let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                match text.parse() {
                    Ok(n) if plain => Ok(Integer(n)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_any(AnyForm(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Finite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde casts from `f64`, which turns large values into infinity.
        let n = f32::deserialize(deserializer)?;
        if n.is_finite() {
            Ok(Self(n))
        } else {
            Err(de::Error::custom("number out of range for f32"))
        }
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        decode_base64(&text)
            .map(Self)
            .map_err(|()| de::Error::custom("not base64"))
    }
}

/// Decodes base64 in the standard or the URL alphabet, with or without padding.
pub(crate) fn decode_base64(text: &str) -> Result<Vec<u8>, ()> {
    let engine: &dyn Fn(&str) -> _ = if text.contains(['-', '_']) {
        &|t| base64::URL_SAFE.decode(t)
    } else {
        &|t| base64::STANDARD.decode(t)
    };
    engine(text).map_err(drop)
}

/// Encodes base64 as [`write_bytes`] does.
pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    base64::STANDARD.encode(bytes)
}
