//! The errors of reading and writing a message.

use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};
use serde::ser;

use crate::error::{Code, Error};
use crate::text::EscapeControl;

/// The maximum size of a description, in bytes.
const MAX_TEXT: usize = 512;

/// The description of a 128-bit integer that serde has buffered as text.
pub(super) const LOST_INTEGER: &str = "serde loses the type of a 128-bit integer inside of `untagged`, `flatten` and `tag`: use `BigNum`";

/// The description of a field that is missing.
pub(crate) const MISSING: &str = "is missing";

/// The path of a value from the root of the message, such as `order.lines[3].price`. It is built
/// from its end while an error is returned.
#[derive(Debug, Default, PartialEq)]
struct Path(String);

impl Path {
    /// Prepends the name of the field that contains the value.
    fn within(&mut self, field: &str) {
        // A longer path is not printed, and would cost the square of the depth.
        if self.0.len() < MAX_TEXT {
            // An empty name cannot be seen.
            let field = if field.is_empty() { "\"\"" } else { field };
            let joint = if self.0.is_empty() || self.0.starts_with('[') {
                ""
            } else {
                "."
            };
            self.0 = format!("{field}{joint}{}", self.0);
        }
    }

    /// Prepends the index of the element that contains the value.
    fn within_list(&mut self, index: usize) {
        self.within(&format!("[{index}]"));
    }
}

/// An error in a message: a description, and the path of the value from the root of the message.
///
/// Boxed, because every value that is read returns a `Result` with it.
#[derive(Debug, PartialEq)]
pub struct DecodeError(Box<DecodeErrorInner>);

#[derive(Debug, PartialEq)]
struct DecodeErrorInner {
    path: Path,
    text: String,
    is_syntax: bool,
}

impl DecodeError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self::at("", text)
    }

    /// Returns the error of a body that does not begin with `{`. A byte order mark is named,
    /// because it cannot be seen.
    pub(super) fn not_an_object(body: &[u8]) -> Self {
        Self::new(match body.trim_ascii_start() {
            [0xef, 0xbb, 0xbf, ..] => {
                "the body begins with a byte order mark; send JSON in UTF-8 without one"
            }
            // Without a byte order mark, each character of ASCII has a NUL before or after it.
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [_, 0, ..] => {
                "the body is UTF-16; send JSON in UTF-8"
            }
            _ => "a message must be a JSON object",
        })
    }

    pub(crate) fn at(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self(Box::new(DecodeErrorInner {
            path: Path(path.into()),
            text: text.into(),
            is_syntax: false,
        }))
    }

    /// Creates an error in the JSON itself. It has a position in the body instead of a path within
    /// a value.
    #[cold]
    pub(super) fn syntax(text: &str, at: usize) -> Self {
        Self(Box::new(DecodeErrorInner {
            path: Path::default(),
            text: format!("{text} (byte {at})"),
            is_syntax: true,
        }))
    }

    /// Creates the error of text that is not an integer.
    #[cold]
    pub(super) fn integer_text(expected: &dyn Expected) -> Self {
        Self::new(format!(
            "invalid value: string, expected {expected}, as a number or as decimal digits without leading zeros"
        ))
    }

    /// Prepends the name of the field that contains the value to the path.
    pub(crate) fn within(mut self, field: &str) -> Self {
        self.0.path.within(field);
        self
    }

    /// Prepends a part of a value to the path of an error in the data.
    #[cold]
    pub(super) fn within_value(self, field: &str) -> Self {
        if self.0.is_syntax {
            self
        } else {
            self.within(field)
        }
    }

    /// Prepends the index of a list to the path of an error in the data.
    #[cold]
    pub(super) fn within_list(mut self, index: usize) -> Self {
        if !self.0.is_syntax {
            self.0.path.within_list(index);
        }
        self
    }

    /// Replaces the description of an error in a secret, because serde's descriptions quote the
    /// value.
    pub(crate) fn without_value(mut self) -> Self {
        "is not valid (it is a secret, so its value is not shown)".clone_into(&mut self.0.text);
        self.0.path = Path::default();
        self
    }

    /// Replaces the description.
    #[cold]
    pub(super) fn with_text(mut self, text: &str) -> Self {
        text.clone_into(&mut self.0.text);
        self
    }

    /// Converts to the error that the sender of a request receives.
    pub(crate) fn into_error(self) -> Error {
        let full = self.to_string();
        let DecodeErrorInner { path, text, .. } = *self.0;
        Error::without_location(Code::InvalidArgument, escape(&full))
            .with_violation(escape(&path.0), escape(&text))
    }

    /// Converts to the error that the receiver of an invalid response of a method returns.
    pub(crate) fn into_response_error(self, method: &str) -> Error {
        let DecodeErrorInner { path, text, .. } = *self.0;
        let problem = match &*path.0 {
            "" => format!(": {text}"),
            path if text == MISSING => format!(": `{path}` {text}"),
            path => format!(" at {path}: {text}"),
        };
        Error::without_location(
            Code::Internal,
            escape(&format!("invalid response message of {method}{problem}")),
        )
        .public()
    }
}

impl Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.path.0.is_empty() {
            write!(f, "{}: ", self.0.path.0)?;
        }
        f.write_str(&self.0.text)
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    #[cold]
    fn custom<T: Display>(text: T) -> Self {
        let text = text.to_string();
        // serde's text for such an integer.
        if matches!(&*text, "u128 is not supported" | "i128 is not supported") {
            return Self::new(LOST_INTEGER);
        }
        Self::new(text)
    }

    #[cold]
    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!(
            "invalid type: {}, expected {expected}",
            redacted(unexpected)
        ))
    }

    #[cold]
    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!(
            "invalid value: {}, expected {expected}",
            redacted(unexpected)
        ))
    }
}

/// Describes what was sent. Leaves out text, which may be a secret in the wrong field.
fn redacted(unexpected: Unexpected<'_>) -> Unexpected<'_> {
    match unexpected {
        Unexpected::Str(_) => Unexpected::Other("string"),
        Unexpected::Unit => Unexpected::Other("null"),
        other => other,
    }
}

/// The error of writing a value, such as a NaN or a map whose keys are not strings: a description,
/// and the path of the value.
#[derive(Debug)]
pub struct EncodeError(Box<Unwritable>);

#[derive(Debug)]
struct Unwritable {
    path: Path,
    text: String,
}

impl EncodeError {
    #[cold]
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(Box::new(Unwritable {
            path: Path::default(),
            text: text.into(),
        }))
    }

    /// Prepends the name of the field that contains the value to the path.
    #[cold]
    pub(crate) fn within(mut self, field: &str) -> Self {
        self.0.path.within(field);
        self
    }

    /// Prepends the index of the element that contains the value to the path.
    #[cold]
    pub(super) fn within_list(mut self, index: usize) -> Self {
        self.0.path.within_list(index);
        self
    }
}

impl From<serde_json::Error> for EncodeError {
    fn from(error: serde_json::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// The error of a value that was read back, or of JSON text that a type writes as it is.
impl From<DecodeError> for EncodeError {
    fn from(error: DecodeError) -> Self {
        let DecodeErrorInner { path, text, .. } = *error.0;
        Self(Box::new(Unwritable { path, text }))
    }
}

impl From<EncodeError> for DecodeError {
    fn from(error: EncodeError) -> Self {
        let Unwritable { path, text } = *error.0;
        Self::at(path.0, text)
    }
}

impl Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unwritable { path, text } = &*self.0;
        if !path.0.is_empty() {
            write!(f, "{}: ", EscapeControl(&path.0).truncated(MAX_TEXT))?;
        }
        f.write_str(text)
    }
}

impl std::error::Error for EncodeError {}

impl ser::Error for EncodeError {
    #[cold]
    fn custom<T: Display>(text: T) -> Self {
        Self::new(text.to_string())
    }
}

/// Escapes control characters and limits the length, because the descriptions quote received data.
fn escape(text: &str) -> String {
    EscapeControl(text).truncated(MAX_TEXT)
}
