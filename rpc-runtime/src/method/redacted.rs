//! The arguments of a request in the log: on one line, truncated, without secrets.

use super::Method;
use super::arguments::{Arguments, Transcode};
use crate::codec::json::{self, Cursor, DecodeError, Object};
use crate::descriptor::{MessageStyle, MethodDescriptor};
use crate::secret;
use crate::text::{EscapeControl, truncate_str};

/// The maximum length of an argument, in bytes.
const MAX_ARGUMENT: usize = 200;

/// The replacement of a secret.
const MASK: &str = "***";

/// The replacement of text that is cut off or cannot be read.
const ELLIPSIS: &str = "…";

/// Formats the arguments in a request message for the log.
pub(crate) trait RedactedArguments: Sync {
    /// Returns the arguments in a form such as `user="ada", password=***`. An argument that cannot
    /// be read and those after it are replaced by `…`.
    ///
    /// Secrets are the arguments that the descriptor marks and each `Secret<T>` in a user-defined
    /// type. Only those types know where their secrets are, so the message is decoded and encoded
    /// again with them.
    fn redacted(&self, message: &[u8]) -> String;
}

impl<A: Arguments, T, E> RedactedArguments for Method<A, T, E> {
    fn redacted(&self, message: &[u8]) -> String {
        let transcoders = A::transcoders(&self.arguments);
        let mut shown = Vec::new();
        let outcome = secret::masked(|| match self.descriptor.style {
            MessageStyle::Message => redact_message(&transcoders, message, &mut shown),
            MessageStyle::Arguments => {
                redact_fields(&self.descriptor, &transcoders, message, &mut shown)
            }
        });
        if outcome.is_err() {
            shown.push(ELLIPSIS.to_owned());
        }
        shown.join(", ")
    }
}

fn redact_message(
    transcoders: &[Transcode],
    message: &[u8],
    shown: &mut Vec<String>,
) -> Result<(), DecodeError> {
    for transcode in transcoders {
        shown.push(value(*transcode, &mut Cursor::new(message))?);
    }
    Ok(())
}

fn redact_fields(
    method: &MethodDescriptor,
    transcoders: &[Transcode],
    message: &[u8],
    shown: &mut Vec<String>,
) -> Result<(), DecodeError> {
    if message.is_empty() {
        return Ok(());
    }
    let mut object = Object::open(message)?;
    while let Some(name) = object.next_name()? {
        let known = method.arguments.iter().zip(transcoders);
        let known = known
            .into_iter()
            .find(|(argument, _)| json::same_name(argument.name, &name));
        match known {
            Some((argument, _)) if argument.secret => {
                object.skip()?;
                shown.push(format!("{}={MASK}", argument.name));
            }
            Some((argument, transcode)) => {
                if !object.value().null() {
                    shown.push(format!(
                        "{}={}",
                        argument.name,
                        value(*transcode, object.value())?
                    ));
                }
            }
            None => object.skip()?,
        }
    }
    Ok(())
}

fn value(transcode: Transcode, cursor: &mut Cursor<'_>) -> Result<String, DecodeError> {
    let mut out = Vec::new();
    transcode(cursor, &mut out)?;
    let text = String::from_utf8_lossy(&out);
    let rest = if text.len() > MAX_ARGUMENT {
        ELLIPSIS
    } else {
        ""
    };
    Ok(format!(
        "{}{rest}",
        EscapeControl(truncate_str(&text, MAX_ARGUMENT))
    ))
}
