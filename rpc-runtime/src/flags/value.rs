//! The types of flag values: parsing, formatting and storage.

use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use crate::duration;

/// Parses and formats the values of one type.
#[doc(hidden)]
#[derive(Debug)]
pub struct Codec<T> {
    /// Parses a text. The error is the reason.
    pub(super) parse: fn(&str) -> Result<T, String>,
    /// Formats a value so that `parse` returns it.
    pub(super) print: fn(&T) -> String,
    /// The accepted texts, for display. Empty if only the type is known.
    pub(super) accepts: &'static str,
    /// Converts a value to one word and back. Reading such a value is one atomic load.
    pub(super) word: Option<Word<T>>,
}

/// The conversions of a value to one word and back.
pub(super) type Word<T> = (fn(&T) -> u64, fn(u64) -> T);

impl<T> Clone for Codec<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Codec<T> {}

/// The built-in types of flags: `bool`, integers, floats, `String`, `Duration`, `Vec<String>`.
///
/// Other types need `FromStr` and `Display`, and the first must parse what the second prints.
#[doc(hidden)]
pub trait FlagValue: Sized {
    #[doc(hidden)]
    const CODEC: Codec<Self>;
}

/// Selects the [`Codec`] of a type: the inherent constant if the type is a [`FlagValue`], and
/// otherwise that of the trait [`Fallback`] (autoref specialization without the autoref).
#[doc(hidden)]
#[derive(Debug)]
pub struct Specialize<T>(PhantomData<fn() -> T>);

impl<T: FlagValue> Specialize<T> {
    /// The codec of a built-in type.
    pub const CODEC: Codec<T> = T::CODEC;
}

/// The codec of other types, by `FromStr` and `Display`.
#[doc(hidden)]
pub trait Fallback {
    /// The type in question.
    type Value;
    /// The codec of the type.
    const CODEC: Codec<Self::Value>;
}

impl<T: FromStr<Err: Display> + Display> Fallback for Specialize<T> {
    type Value = T;
    const CODEC: Codec<T> = Codec {
        parse: from_str,
        print: T::to_string,
        accepts: "",
        word: None,
    };
}

fn from_str<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

impl FlagValue for bool {
    const CODEC: Codec<Self> = Codec {
        parse: from_str,
        print: Self::to_string,
        accepts: "`true` or `false`",
        word: Some((|value| u64::from(*value), |word| word != 0)),
    };
}

macro_rules! integers {
    ($($integer:ident $accepts:literal)*) => {
        $(impl FlagValue for $integer {
            const CODEC: Codec<Self> = Codec {
                parse: from_str,
                print: Self::to_string,
                accepts: $accepts,
                word: Some((
                    #[allow(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        clippy::cast_possible_wrap,
                        clippy::cast_lossless,
                        trivial_numeric_casts,
                        reason = "the word holds the bits of the integer, and the conversion back truncates it"
                    )]
                    |value| *value as u64,
                    #[allow(
                        clippy::cast_possible_truncation,
                        clippy::cast_possible_wrap,
                        clippy::cast_lossless,
                        trivial_numeric_casts,
                        reason = "as above"
                    )]
                    |word| word as $integer,
                )),
            };
        })*
    };
}

integers! {
    u8 "a whole number from 0 to 255"
    u16 "a whole number from 0 to 65535"
    u32 "a whole number from 0 to 4294967295"
    u64 "a whole number, not negative"
    usize "a whole number, not negative"
    i8 "a whole number from -128 to 127"
    i16 "a whole number from -32768 to 32767"
    i32 "a whole number from -2147483648 to 2147483647"
    i64 "a whole number"
    isize "a whole number"
}

/// NaN and infinity are rejected, because validators could not compare them.
impl FlagValue for f64 {
    const CODEC: Codec<Self> = Codec {
        parse: |text| match from_str::<Self>(text)? {
            number if number.is_finite() => Ok(number),
            _ => Err("not finite".to_owned()),
        },
        print: Self::to_string,
        accepts: "a number, such as `0.5`",
        word: Some((|value| value.to_bits(), Self::from_bits)),
    };
}

impl FlagValue for String {
    const CODEC: Codec<Self> = Codec {
        parse: |text| Ok(text.to_owned()),
        print: Self::clone,
        accepts: "a text",
        word: None,
    };
}

/// The word holds nanoseconds. Durations over 584 years become `Duration::MAX`.
impl FlagValue for Duration {
    const CODEC: Codec<Self> = Codec {
        parse: duration::parse,
        print: |time| duration::print(*time),
        accepts: duration::FORM,
        word: Some((
            |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
            |word| match word {
                u64::MAX => Self::MAX,
                nanoseconds => Self::from_nanos(nanoseconds),
            },
        )),
    };
}

/// Empty elements are dropped, so the empty text is the empty list.
///
/// Elements must not be empty, contain commas, or start or end with a space: such a list is not
/// parsed as it was printed.
impl FlagValue for Vec<String> {
    const CODEC: Codec<Self> = Codec {
        parse: |text| {
            let elements = text.split(',').map(|element| element.trim().to_owned());
            Ok(elements.filter(|element| !element.is_empty()).collect())
        },
        print: |elements| elements.join(","),
        accepts: "texts separated by commas",
        word: None,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    enum Colour {
        Red,
    }

    impl FromStr for Colour {
        type Err = &'static str;

        fn from_str(text: &str) -> Result<Self, Self::Err> {
            match text {
                "red" => Ok(Self::Red),
                _ => Err("not red"),
            }
        }
    }

    impl Display for Colour {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("red")
        }
    }

    fn round_trip<T: PartialEq + std::fmt::Debug>(codec: Codec<T>, text: &str, value: &T) {
        assert_eq!((codec.parse)(text).as_ref(), Ok(value));
        assert_eq!((codec.print)(value), text);
        if let Some((to, from)) = codec.word {
            assert_eq!(&from(to(value)), value);
        }
    }

    #[test]
    fn every_type_parses_what_it_prints() {
        round_trip(bool::CODEC, "true", &true);
        round_trip(u64::CODEC, "18446744073709551615", &u64::MAX);
        round_trip(i8::CODEC, "-128", &-128);
        round_trip(i64::CODEC, "-9223372036854775808", &i64::MIN);
        round_trip(f64::CODEC, "-0.25", &-0.25);
        round_trip(String::CODEC, " a = b # c", &" a = b # c".to_owned());
        round_trip(Duration::CODEC, "1500ms", &Duration::from_millis(1500));
        round_trip(Vec::CODEC, "a,b c", &vec!["a".to_owned(), "b c".to_owned()]);
        round_trip(Vec::CODEC, "", &Vec::new());
        round_trip(Specialize::<Colour>::CODEC, "red", &Colour::Red);
        let (to, from) = Duration::CODEC.word.unwrap();
        assert_eq!(from(to(&Duration::MAX)), Duration::MAX);
    }

    #[test]
    fn values_of_another_type_are_rejected() {
        assert!((bool::CODEC.parse)("yes").is_err());
        assert!((u8::CODEC.parse)("256").is_err());
        assert!((u8::CODEC.parse)("-1").is_err());
        for text in ["NaN", "inf", "-inf", "1e999", "x"] {
            assert!((f64::CODEC.parse)(text).is_err(), "{text}");
        }
        assert_eq!(
            (Specialize::<Colour>::CODEC.parse)("blue").unwrap_err(),
            "not red"
        );
    }
}
