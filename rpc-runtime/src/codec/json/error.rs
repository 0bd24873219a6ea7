//! The errors of reading and writing a message.

use std::fmt;

use crate::error::{Code, Error};
use crate::text::EscapeControl;

/// The maximum size of a description, in bytes.
const MAX_TEXT: usize = 512;

/// An error in a message: a description, and the path of the value from the root of the message.
#[derive(Debug, PartialEq)]
pub struct DecodeError {
    path: String,
    text: String,
}

impl DecodeError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            text: text.into(),
        }
    }

    /// Returns the error of a body that does not begin with `{`. A byte order mark is named, because
    /// it cannot be seen.
    pub(super) fn not_an_object(body: &[u8]) -> Self {
        Self::new(match body.trim_ascii_start() {
            [0xef, 0xbb, 0xbf, ..] => {
                "the body begins with a byte order mark; send JSON in UTF-8 without one"
            }
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "the body is UTF-16; send JSON in UTF-8",
            _ => "a message must be a JSON object",
        })
    }

    pub(crate) fn at(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
        }
    }

    /// Prepends the name of the field that contains the value to the path.
    pub(crate) fn within(mut self, field: &str) -> Self {
        let joint = if self.path.is_empty() || self.path.starts_with('[') {
            ""
        } else {
            "."
        };
        self.path = format!("{field}{joint}{}", self.path);
        self
    }

    /// Replaces the description of an error in a secret, because serde's descriptions quote the
    /// value.
    pub(crate) fn without_value(mut self) -> Self {
        "is not valid (it is a secret, so its value is not shown)".clone_into(&mut self.text);
        self.path.clear();
        self
    }

    /// Converts to the error that the sender of a request receives.
    pub(crate) fn into_error(self) -> Error {
        let text = if self.path.is_empty() {
            self.text.clone()
        } else {
            format!("{}: {}", self.path, self.text)
        };
        Error::without_location(Code::InvalidArgument, escape(&text))
            .with_violation(escape(&self.path), escape(&self.text))
    }

    /// Converts to the error that the receiver of an invalid response returns.
    pub(crate) fn into_response_error(self) -> Error {
        let location = if self.path.is_empty() {
            String::new()
        } else {
            format!(" at {}", self.path)
        };
        Error::without_location(
            Code::Internal,
            escape(&format!(
                "invalid response message{location}: {}",
                self.text
            )),
        )
        .public()
    }
}

/// The error of writing a value, such as a NaN or a map whose keys are not strings.
#[derive(Debug)]
pub struct EncodeError(String);

impl EncodeError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<serde_json::Error> for EncodeError {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<EncodeError> for DecodeError {
    fn from(error: EncodeError) -> Self {
        Self::new(error.0)
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Escapes control characters and limits the length, because the descriptions quote received data.
fn escape(text: &str) -> String {
    EscapeControl(text).truncated(MAX_TEXT)
}
