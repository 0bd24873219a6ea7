//! A JSON object as its text.

use std::collections::HashSet;
use std::fmt;

use super::DecodeError;
use super::cursor::Cursor;
use crate::error::Result;

/// A JSON object as its text, for messages that must arrive as they were written: a
/// [`serde_json::Value`] keeps the last of two fields with one name, and makes a float of
/// 18446744073709551616.
///
/// ```
/// use rpc_runtime::JsonText;
///
/// let text = JsonText::parse(r#"{"n": 18446744073709551616}"#)?;
/// assert_eq!(text.as_str(), r#"{"n": 18446744073709551616}"#);
/// let error = JsonText::parse(r#"{"a": [{"n": 1, "n": 2}]}"#).unwrap_err();
/// assert_eq!(error.message(), "a[0].n: is given twice");
/// # Ok::<(), rpc_runtime::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JsonText(String);

impl JsonText {
    /// Checks a text, and keeps it as it is. A number may have any size.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for a text that is not one JSON object, for an object at any depth with
    /// two fields of one name, and for more than 127 levels of arrays and objects.
    pub fn parse(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        match check_fields(text.as_bytes()) {
            Ok(()) => Ok(Self(text)),
            Err(error) => Err(error.into_error()),
        }
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }

    /// Reads a received object, whose names may occur twice.
    #[cfg(any(feature = "client", test))]
    pub(crate) fn read(body: &[u8]) -> Result<Self, DecodeError> {
        open(body)?;
        Cursor::check(body, 0)?;
        // Not lossy: the check above has read it as UTF-8.
        Ok(Self(String::from_utf8_lossy(body).into_owned()))
    }
}

impl fmt::Display for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns a cursor at the object of a body.
fn open(body: &[u8]) -> Result<Cursor<'_>, DecodeError> {
    let mut cursor = Cursor::new(body)?;
    match cursor.peek() {
        Some(b'{') if !cursor.is_wide_text() => Ok(cursor),
        None => Err(DecodeError::new(
            "the message is empty; expected a JSON object such as `{}`",
        )),
        Some(_) => Err(DecodeError::not_an_object(body)),
    }
}

fn check_fields(body: &[u8]) -> Result<(), DecodeError> {
    let mut cursor = open(body)?;
    check_value(&mut cursor)?;
    cursor.end("unexpected data after the message")
}

/// Checks that the names of each object are different, whatever escapes they have.
fn check_value(cursor: &mut Cursor<'_>) -> Result<(), DecodeError> {
    match cursor.peek() {
        Some(b'{') => {
            cursor.enter()?;
            let mut names = HashSet::new();
            while cursor.next_entry(names.is_empty())? {
                let name = cursor.string()?;
                if names.contains(&name) {
                    return Err(DecodeError::at(name, "is given twice"));
                }
                cursor.colon()?;
                check_value(cursor).map_err(|error| error.within_value(&name))?;
                names.insert(name);
            }
            cursor.leave(b'}')
        }
        Some(b'[') => {
            cursor.enter()?;
            let mut index = 0;
            while cursor.next_element(index == 0)? {
                check_value(cursor).map_err(|error| error.within_list(index))?;
                index += 1;
            }
            cursor.leave(b']')
        }
        _ => cursor.skip_value(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn a_text_stays_as_it_was_written() {
        for text in [
            "{}",
            " { } \n",
            r#"{"n":18446744073709551616}"#,
            r#"{"n":0.1000000000000000055511151231257827,"m":-0,"e":1e400,"z":1.0E+2}"#,
            r#"{"a":{"n":1},"b":{"n":2},"n":[{"n":1},{"n":1}]}"#,
            r#"{"N":1,"n":2,"text":"\u00e9\ud83d\ude00\/"}"#,
        ] {
            assert_eq!(JsonText::parse(text).unwrap().as_str(), text);
            assert_eq!(JsonText::read(text.as_bytes()).unwrap().as_str(), text);
        }
        let twice = r#"{"n":1,"n":2}"#;
        assert_eq!(JsonText::read(twice.as_bytes()).unwrap().as_str(), twice);
    }

    #[test]
    fn a_name_occurs_once_in_an_object() {
        for (text, path) in [
            (r#"{"n":1,"n":1}"#, "n"),
            (r#"{"n":1,"m":2,"\u006e":3}"#, "n"),
            (r#"{"a":{"b":[0,{"n":1,"n":2}]}}"#, "a.b[1].n"),
            (r#"{"":1,"":2}"#, ""),
            (r#"{"a b":{"n":{"x":null,"x":null}}}"#, "a b.n.x"),
        ] {
            let error = JsonText::parse(text).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{text}");
            assert!(
                error.message().contains("is given twice"),
                "{text}: {error}"
            );
            assert_eq!(error.violations()[0].field, path, "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(127), "]".repeat(127));
        for text in [
            "",
            " ",
            "null",
            "[]",
            "\"a\"",
            "1",
            "{",
            "{}{}",
            "{},",
            "{\"a\":}",
            "{\"a\":01}",
            "{\"a\":1,}",
            "{a:1}",
            "\u{feff}{}",
            "\u{c}{}",
            "{}\u{b}",
            "{\"a\":\"\n\"}",
            &deep,
        ] {
            let error = JsonText::parse(text).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{text}: {error}");
            assert!(JsonText::read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
