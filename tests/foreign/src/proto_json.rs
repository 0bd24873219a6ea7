//! Types for the parts of ProtoJSON that plain serde writes differently.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `int64` and `uint64`: a decimal string, which JavaScript does not round. A number is read as
/// well.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) struct Int<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Debug for Int<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl<T: fmt::Display> Serialize for Int<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T> Deserialize<'de> for Int<T>
where
    T: FromStr<Err: fmt::Display> + TryFrom<i64> + TryFrom<u64>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IntVisitor<T>(std::marker::PhantomData<T>);

        impl<T> Visitor<'_> for IntVisitor<T>
        where
            T: FromStr<Err: fmt::Display> + TryFrom<i64> + TryFrom<u64>,
        {
            type Value = Int<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer as a number or a decimal string")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Int<T>, E> {
                let number = T::try_from(number).map(Int);
                number.map_err(|_| E::custom("the integer is out of range"))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Int<T>, E> {
                let number = T::try_from(number).map(Int);
                number.map_err(|_| E::custom("the integer is out of range"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Int<T>, E> {
                text.parse().map(Int).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(IntVisitor(std::marker::PhantomData))
    }
}

/// `double`: a number, or the names of values that JSON has no number for.
#[derive(Clone, Copy, Default)]
pub(crate) struct Double(pub(crate) f64);

/// By bits: -0 is not the default value.
impl PartialEq for Double {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl fmt::Debug for Double {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:e}", self.0)
    }
}

impl Serialize for Double {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            number if number.is_nan() => serializer.serialize_str("NaN"),
            f64::INFINITY => serializer.serialize_str("Infinity"),
            f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
            number => serializer.serialize_f64(number),
        }
    }
}

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DoubleVisitor;

        impl Visitor<'_> for DoubleVisitor {
            type Value = Double;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or `NaN`, `Infinity` or `-Infinity`")
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Double, E> {
                Ok(Double(number))
            }

            #[allow(
                clippy::cast_precision_loss,
                reason = "as for every reader of a double"
            )]
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Double, E> {
                Ok(Double(number as f64))
            }

            #[allow(
                clippy::cast_precision_loss,
                reason = "as for every reader of a double"
            )]
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Double, E> {
                Ok(Double(number as f64))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Double, E> {
                text.parse().map(Double).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(DoubleVisitor)
    }
}

/// `bytes`: base64.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Data(pub(crate) rpc_runtime::Bytes);

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// `greeter.v1.Mood`: the name of the value, or its number where it has no name.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) struct Mood(i32);

const MOODS: [(&str, i32); 3] = [("MOOD_UNSPECIFIED", 0), ("MOOD_CALM", 1), ("MOOD_LOUD", -2)];

impl Mood {
    fn name(self) -> Option<&'static str> {
        let mood = MOODS.iter().find(|mood| mood.1 == self.0);
        mood.map(|mood| mood.0)
    }
}

impl fmt::Debug for Mood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Mood {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.name() {
            Some(name) => serializer.serialize_str(name),
            None => serializer.serialize_i32(self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Mood {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum NameOrNumber {
            Number(i32),
            Name(String),
        }

        match NameOrNumber::deserialize(deserializer)? {
            NameOrNumber::Number(number) => Ok(Self(number)),
            NameOrNumber::Name(name) => {
                let mood = MOODS.iter().find(|mood| mood.0 == name);
                let mood = mood.ok_or_else(|| de::Error::custom("unknown mood"))?;
                Ok(Self(mood.1))
            }
        }
    }
}
