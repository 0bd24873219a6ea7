//! What is wrong with a message, and where.

use std::fmt::Write as _;

use crate::error::{Code, Error};

/// What is wrong with a message: the path of the place, from the message's root, and a description.
#[derive(Debug, PartialEq)]
pub(crate) struct DecodeError {
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

    pub(crate) fn at(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
        }
    }

    /// The same problem, seen from the message that has the value as a field.
    pub(crate) fn within(mut self, field: &str) -> Self {
        let joint = if self.path.is_empty() || self.path.starts_with('[') {
            ""
        } else {
            "."
        };
        self.path = format!("{field}{joint}{}", self.path);
        self
    }

    /// For a secret: serde's texts quote the value that they refuse.
    pub(crate) fn without_quotes(mut self) -> Self {
        "is not valid (it is a secret, so its value is not shown)".clone_into(&mut self.text);
        self.path.clear();
        self
    }

    /// The error for the one who sent the message.
    pub(crate) fn into_error(self) -> Error {
        let text = if self.path.is_empty() {
            self.text.clone()
        } else {
            format!("{}: {}", self.path, self.text)
        };
        Error::unlocated(Code::InvalidArgument, escape(&text))
            .with_violation(escape(&self.path), escape(&self.text))
    }

    /// The error for one who got a wrong answer.
    pub(crate) fn into_response_error(self) -> Error {
        let place = if self.path.is_empty() {
            String::new()
        } else {
            format!(" at {}", self.path)
        };
        Error::unlocated(
            Code::Internal,
            escape(&format!("the answer cannot be read{place}: {}", self.text)),
        )
        .public()
    }
}

/// Texts of a decoder quote what the other side sent: keep them short and on one line.
fn escape(text: &str) -> String {
    const LIMIT: usize = 512;
    let mut out = String::with_capacity(text.len().min(LIMIT));
    for c in text.chars() {
        if out.len() >= LIMIT {
            out.push('…');
            break;
        }
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}
