//! Parsing of `n` from text: decimal digits only.

use std::fmt;

/// Maximum length of a quoted invalid text, in characters.
const QUOTED: usize = 40;

/// Parses a number of the digits 0 to 9 that is at most `max`.
///
/// Rejects signs, spaces, separators and digits of other scripts, whose meaning would be a guess.
/// Leading zeros are ignored, so `007` is 7.
///
/// # Errors
///
/// [`BadNumber`], whose text quotes the input, truncated and escaped.
///
/// ```
/// use fibpro::number::parse;
///
/// assert_eq!(parse("007", 1000), Ok(7));
/// let error = parse("4.5", 1000).unwrap_err().to_string();
/// assert_eq!(error, "'4.5' is not a number: use decimal digits, such as 10");
/// ```
pub fn parse(text: &str, max: u64) -> Result<u64, BadNumber> {
    let quoted = || quote(text);
    if !is_digits(text) {
        return Err(match text.strip_prefix('-') {
            Some(rest) if is_digits(rest) => BadNumber::Negative(quoted()),
            _ => BadNumber::NotANumber(quoted()),
        });
    }
    // Digits beyond u64 are a valid number that is too large.
    match text.parse() {
        Ok(n) if n <= max => Ok(n),
        _ => Err(BadNumber::TooLarge(quoted(), max)),
    }
}

/// The reason for which a text is not a valid `n`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadNumber {
    /// It contains a character that is not a digit, or is empty.
    #[error("{0} is not a number: use decimal digits, such as 10")]
    NotANumber(String),
    /// It begins with a minus sign.
    #[error("{0} is negative: n is 0 or more")]
    Negative(String),
    /// It exceeds the maximum.
    #[error("{0} is too large: n is at most {1}")]
    TooLarge(String, u64),
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A quoted text without characters that end a line, control a terminal or change the text
/// direction, truncated to less than a line.
#[must_use]
pub fn quote(text: &str) -> String {
    struct Quoted<'t>(&'t str);
    impl fmt::Display for Quoted<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let end = self.0.char_indices().nth(QUOTED).map(|(end, _)| end);
            let shown = &self.0[..end.unwrap_or(self.0.len())];
            let rest = if end.is_some() { "…" } else { "" };
            write!(f, "'{}{rest}'", shown.escape_debug())
        }
    }
    Quoted(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(text, 1_000_000).unwrap_err().to_string()
    }

    #[test]
    fn c12_a_number_is_digits_and_nothing_else() {
        for (text, n) in [
            ("0", 0),
            ("10", 10),
            ("007", 7),
            ("0000000000000000000000000000000001", 1),
            ("1000000", 1_000_000),
        ] {
            assert_eq!(parse(text, 1_000_000), Ok(n), "{text}");
        }
        for text in [
            "", " 5 ", "5 ", "+5", "4.5", "1e3", "1_000", "0x10", "five", "--5", "-", "- 5", "٥",
            "５", "5\0", "5\n", "%35",
        ] {
            let expected = " is not a number: use decimal digits, such as 10";
            assert!(refused(text).ends_with(expected), "{text:?}");
        }
    }

    #[test]
    fn c06_a_negative_number_is_told_so() {
        assert_eq!(refused("-3"), "'-3' is negative: n is 0 or more");
        assert_eq!(refused("-0"), "'-0' is negative: n is 0 or more");
    }

    #[test]
    fn the_bound_holds_however_large_it_is_written() {
        for text in ["1000001", "18446744073709551616", "99999999999999999999"] {
            let expected = format!("'{text}' is too large: n is at most 1000000");
            assert_eq!(refused(text), expected);
        }
        assert_eq!(parse("18446744073709551615", u64::MAX), Ok(u64::MAX));
        assert!(parse("18446744073709551616", u64::MAX).is_err());
    }

    #[test]
    fn c05_what_is_quoted_is_cut_and_escaped() {
        assert_eq!(
            quote("a'\n\u{1b}[31m\u{202e}"),
            r"'a\'\n\u{1b}[31m\u{202e}'"
        );
        assert_eq!(quote(&"é".repeat(41)), format!("'{}…'", "é".repeat(40)));
        assert_eq!(quote(&"é".repeat(40)), format!("'{}'", "é".repeat(40)));
        assert_eq!(quote(""), "''");
    }
}
