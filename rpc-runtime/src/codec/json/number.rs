//! Numbers as they are written, and their exact values.

/// A number of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number<'b> {
    /// The number as it was sent.
    pub(super) text: &'b str,
    pub(super) negative: bool,
    /// The value without its sign, for an integer that fits and is written without `.` and `e`.
    pub(super) magnitude: Option<u64>,
    /// Whether it is written without `.` and `e`.
    pub(super) is_integer: bool,
}

/// An integer that fits in 128 bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Integer {
    U64(u64),
    I64(i64),
    U128(u128),
    I128(i128),
}

impl Integer {
    /// Creates an integer; `None` if it does not fit.
    fn new(negative: bool, magnitude: u128) -> Option<Self> {
        if !negative {
            return Some(u64::try_from(magnitude).map_or(Self::U128(magnitude), Self::U64));
        }
        let value = 0_i128.checked_sub_unsigned(magnitude)?;
        Some(match (u64::try_from(value), i64::try_from(value)) {
            (Ok(zero), _) => Self::U64(zero),
            (_, Ok(value)) => Self::I64(value),
            _ => Self::I128(value),
        })
    }
}

impl Number<'_> {
    /// Returns the value of a number without a fraction, by its digits: `1.5e1` is 15. `None` for
    /// any other number, and for one that does not fit in 128 bits.
    pub(super) fn as_integer(&self) -> Option<Integer> {
        match self.magnitude {
            Some(magnitude) => Integer::new(self.negative, u128::from(magnitude)),
            None => Integer::new(self.negative, exact_magnitude(self.text)?),
        }
    }

    /// Returns the nearest `f64`. `None` for a number that is too large.
    pub(super) fn as_f64(&self) -> Option<f64> {
        // The parser of the standard library rounds correctly.
        let value = self.text.parse::<f64>().ok()?;
        value.is_finite().then_some(value)
    }

    /// Returns the nearest `f32`. `None` for a number that is too large.
    pub(super) fn as_f32(&self) -> Option<f32> {
        let value = self.text.parse::<f32>().ok()?;
        value.is_finite().then_some(value)
    }

    /// Returns the digits of a number without a fraction: those of `1.5e1` are `15`. `None` for any
    /// other number, and for one with an exponent that does not fit in 128 bits.
    pub(super) fn digits(&self) -> Option<String> {
        match self.as_integer() {
            Some(Integer::U64(value)) => Some(value.to_string()),
            Some(Integer::I64(value)) => Some(value.to_string()),
            Some(Integer::U128(value)) => Some(value.to_string()),
            Some(Integer::I128(value)) => Some(value.to_string()),
            None => self.is_integer.then(|| self.text.to_owned()),
        }
    }

    /// Returns the number for an error text.
    pub(super) fn description(&self) -> String {
        let kind = if self.is_integer {
            "integer"
        } else {
            "floating point"
        };
        let text = self.text.get(..40).unwrap_or(self.text);
        let rest = if text.len() < self.text.len() {
            "…"
        } else {
            ""
        };
        format!("{kind} `{text}{rest}`")
    }
}

/// Reads an integer from text that consists of decimal digits without leading zeros, after a `-`
/// for a negative one.
pub(super) fn integer_of_text(text: &str) -> Option<Integer> {
    let magnitude = decimal_digits(text)?.parse().ok()?;
    Integer::new(text.starts_with('-'), magnitude)
}

/// Returns the digits of an integer without its sign. `None` for any other text, and for a second
/// text of an integer, such as `01` and `-0`: two keys of a map must not become one.
pub(super) fn decimal_digits(text: &str) -> Option<&str> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let is_only_text = !digits.starts_with('0') || text == "0";
    (is_number && is_only_text).then_some(digits)
}

/// Returns the value of a JSON number without its sign. `None` if it has a fraction or does not
/// fit.
fn exact_magnitude(number: &str) -> Option<u128> {
    let number = number.trim_start_matches('-');
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    let total = whole.len() + fraction.len();
    let trailing = digits().rev().take_while(|digit| *digit == b'0').count();
    if trailing == total {
        return Some(0);
    }
    // The digits without zeros at either end, and the number of zeros after them; negative for a
    // fraction.
    let significant = digits()
        .take(total - trailing)
        .skip_while(|digit| *digit == b'0');
    let zeros = i128::try_from(trailing).ok()? - i128::try_from(fraction.len()).ok()?;
    let zeros = zeros.checked_add(exponent_value(exponent))?;
    let zeros = u32::try_from(zeros).ok()?;
    let mut value = 0_u128;
    for digit in significant {
        value = value
            .checked_mul(10)?
            .checked_add(u128::from(digit - b'0'))?;
    }
    value.checked_mul(10_u128.checked_pow(zeros)?)
}

/// Returns the value of an exponent. One that does not fit in 64 bits is as large as any.
fn exponent_value(exponent: &str) -> i128 {
    let (negative, digits) = match exponent.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, exponent.trim_start_matches('+')),
    };
    let digits = digits.trim_start_matches('0');
    let value = match digits {
        "" => 0,
        _ => digits.parse::<u64>().unwrap_or(u64::MAX),
    };
    if negative {
        -i128::from(value)
    } else {
        i128::from(value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::cursor::Cursor;
    use super::*;

    fn integer(text: &str) -> Option<Integer> {
        Cursor::whole_number(text).unwrap().as_integer()
    }

    #[test]
    fn integers_are_read_by_their_digits() {
        for (text, value) in [
            ("9007199254740993", 9_007_199_254_740_993),
            ("9007199254740993e0", 9_007_199_254_740_993),
            ("9007199254740993.000", 9_007_199_254_740_993),
            ("90071992547409930e-1", 9_007_199_254_740_993),
            ("0.0009007199254740993e19", 9_007_199_254_740_993),
            ("1.5e1", 15),
            ("100e-2", 1),
            ("0e999999999999999999999", 0),
            ("0.000e-7", 0),
            ("18446744073709551615.0", u64::MAX),
        ] {
            assert_eq!(integer(text), Some(Integer::U64(value)), "{text}");
        }
        assert_eq!(
            integer("-9223372036854775808.0"),
            Some(Integer::I64(i64::MIN))
        );
        assert_eq!(integer("-0"), Some(Integer::U64(0)));
        assert_eq!(
            integer("340282366920938463463374607431768211455"),
            Some(Integer::U128(u128::MAX))
        );
        assert_eq!(
            integer("-170141183460469231731687303715884105728e0"),
            Some(Integer::I128(i128::MIN))
        );
        for other in [
            "9007199254740991.6",
            "1.00000000000000001",
            "0.1",
            "1e-1",
            "15e-1",
            "340282366920938463463374607431768211456",
            "-170141183460469231731687303715884105729",
            "1e39",
            "1e400",
            "1e99999999999999999999",
            "1e-99999999999999999999",
        ] {
            assert_eq!(integer(other), None, "{other}");
        }
    }
}
