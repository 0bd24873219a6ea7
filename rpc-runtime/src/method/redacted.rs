//! The arguments of a request in the log: on one line, truncated, without secrets.

use super::Method;
use super::arguments::{Arguments, Transcode};
use crate::codec::json::{self, Cursor, DecodeError, Object, WriteOutcome};
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
        shown.extend(value(*transcode, &mut Cursor::new(message)?)?);
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
                let is_null = object.value().is_null();
                match value(*transcode, object.value()) {
                    Ok(Some(value)) => shown.push(format!("{}={value}", argument.name)),
                    Ok(None) => {}
                    // The default of the argument.
                    Err(_) if is_null => shown.push(format!("{}=null", argument.name)),
                    Err(problem) => return Err(problem),
                }
            }
            None => object.skip()?,
        }
    }
    Ok(())
}

/// Returns the text of a value. `None` for an outermost `None`, which is the same as a missing
/// field.
fn value(transcode: Transcode, cursor: &mut Cursor<'_>) -> Result<Option<String>, DecodeError> {
    let mut out = Vec::new();
    if transcode(cursor, &mut out)? == WriteOutcome::Nothing {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&out);
    let rest = if text.len() > MAX_ARGUMENT {
        ELLIPSIS
    } else {
        ""
    };
    Ok(Some(format!(
        "{}{rest}",
        EscapeControl(truncate_str(&text, MAX_ARGUMENT))
    )))
}
