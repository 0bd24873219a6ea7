//! The arguments of a request as people see them: on one line, bounded, without secrets.

use super::Method;
use super::arguments::{Arguments, Transcode};
use crate::codec::json::{self, Cursor, DecodeError, Object};
use crate::descriptor::{MessageStyle, MethodDescriptor};
use crate::error::{OneLine, cut};
use crate::secret;

/// How much of an argument is shown, in bytes.
const MAX_ARGUMENT: usize = 200;

/// What stands for a secret.
const MASK: &str = "***";

/// What stands for what cannot be shown.
const ELLIPSIS: &str = "…";

/// Shows the arguments in a request message.
pub(crate) trait RedactedArguments: Sync {
    /// Such as `user="ada", password=***`. What follows an argument that cannot be read is `…`.
    ///
    /// Secrets are those of the descriptor, and each `Secret<T>` wherever it stands: the message is read and written
    /// again as the types of the developer's do it, since only they know what of it is secret.
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
    Ok(format!("{}{rest}", OneLine(cut(&text, MAX_ARGUMENT))))
}
