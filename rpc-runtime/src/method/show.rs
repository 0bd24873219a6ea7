//! The arguments of a request as people see them: on one line, bounded, without secrets.

use super::Method;
use super::arguments::{Arguments, Show};
use crate::codec::json::{self, Cursor, Object, Problem};
use crate::descriptor::{MessageStyle, MethodDescriptor};
use crate::error::{OneLine, cut};
use crate::secret;

/// How much of an argument is shown, in bytes.
const SHOWN: usize = 200;

/// What stands for a secret.
const MASK: &str = "***";

/// What stands for what cannot be shown.
const REST: &str = "…";

/// Shows the arguments in a request message.
pub(crate) trait ShowArguments: Sync {
    /// Such as `user="ada", password=***`. What follows an argument that cannot be read is `…`.
    ///
    /// Secrets are those of the descriptor, and each `Secret<T>` wherever it stands: the message is read and written
    /// again as the types of the developer's do it, since only they know what of it is secret.
    fn show(&self, message: &[u8]) -> String;
}

impl<A: Arguments, T, E> ShowArguments for Method<A, T, E> {
    fn show(&self, message: &[u8]) -> String {
        let shows = A::shows(&self.arguments);
        let mut shown = Vec::new();
        let outcome = secret::masked(|| match self.descriptor.style {
            MessageStyle::Message => show_message(&shows, message, &mut shown),
            MessageStyle::Arguments => show_fields(&self.descriptor, &shows, message, &mut shown),
        });
        if outcome.is_err() {
            shown.push(REST.to_owned());
        }
        shown.join(", ")
    }
}

fn show_message(shows: &[Show], message: &[u8], shown: &mut Vec<String>) -> Result<(), Problem> {
    for show in shows {
        shown.push(value(*show, &mut Cursor::new(message))?);
    }
    Ok(())
}

fn show_fields(
    method: &MethodDescriptor,
    shows: &[Show],
    message: &[u8],
    shown: &mut Vec<String>,
) -> Result<(), Problem> {
    if message.is_empty() {
        return Ok(());
    }
    let mut object = Object::open(message)?;
    while let Some(name) = object.next_name()? {
        let known = method.arguments.iter().zip(shows);
        let known = known
            .into_iter()
            .find(|(argument, _)| json::same_name(argument.name, &name));
        match known {
            Some((argument, _)) if argument.secret => {
                object.skip()?;
                shown.push(format!("{}={MASK}", argument.name));
            }
            Some((argument, show)) => {
                if !object.value().null() {
                    shown.push(format!(
                        "{}={}",
                        argument.name,
                        value(*show, object.value())?
                    ));
                }
            }
            None => object.skip()?,
        }
    }
    Ok(())
}

fn value(show: Show, cursor: &mut Cursor<'_>) -> Result<String, Problem> {
    let mut out = Vec::new();
    show(cursor, &mut out)?;
    let text = String::from_utf8_lossy(&out);
    let rest = if text.len() > SHOWN { REST } else { "" };
    Ok(format!("{}{rest}", OneLine(cut(&text, SHOWN))))
}
