//! Environment variables for the options of a program: an empty one counts as not set, and errors
//! name it.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, Command};

use crate::text::public_url;

/// Returns the name of an environment variable for clap's `env`, or `None` while the variable is
/// set to an empty text. So an empty variable counts as not set.
///
/// ```
/// use clap::Parser;
/// use rpc_runtime::env_option::{named, variable};
///
/// #[derive(Parser)]
/// struct Arguments {
///     /// Number of workers
///     #[arg(long, env = variable("SHOP_WORKERS"), value_parser = named(clap::value_parser!(u16)))]
///     workers: Option<u16>,
/// }
///
/// # let arguments = Arguments::parse_from(["shop"]);
/// # assert_eq!(arguments.workers, None);
/// ```
#[must_use]
pub fn variable(name: &'static str) -> Option<&'static str> {
    let is_empty = std::env::var_os(name).is_some_and(|value| value.is_empty());
    (!is_empty).then_some(name)
}

/// Returns a value parser whose errors name the environment variable that the value is from, and
/// the option whose value is not valid UTF-8.
///
/// See [`variable`] for an example.
pub fn named<P: TypedValueParser>(parser: P) -> impl TypedValueParser<Value = P::Value> {
    Named(parser)
}

/// Parses a duration, such as `1500ms`, `2s` or `5m`, as the options of every server do. A value
/// parser for clap.
///
/// # Errors
///
/// The problem, for a message.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    crate::duration::parse(text)
}

/// Returns a value parser whose errors show the value without the parts of a URL that may be
/// secret: credentials, query and fragment.
pub fn masked_url<P: TypedValueParser>(parser: P) -> impl TypedValueParser<Value = P::Value> {
    MaskedUrl(parser)
}

#[derive(Debug, Clone)]
struct MaskedUrl<P>(P);

impl<P: TypedValueParser> TypedValueParser for MaskedUrl<P> {
    type Value = P::Value;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let parsed = self.0.parse_ref(command, argument, value);
        parsed.map_err(|mut error| {
            if error.get(ContextKind::InvalidValue).is_some() {
                let shown = public_url(&value.to_string_lossy());
                error.insert(ContextKind::InvalidValue, ContextValue::String(shown));
            }
            error
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        self.0.possible_values()
    }
}

#[derive(Debug, Clone)]
struct Named<P>(P);

impl<P: TypedValueParser> TypedValueParser for Named<P> {
    type Value = P::Value;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        self.0.parse_ref(command, argument, value)
    }

    fn parse_ref_(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
        source: ValueSource,
    ) -> Result<Self::Value, clap::Error> {
        let parsed = self.0.parse_ref_(command, argument, value, source);
        let variable = argument.and_then(Arg::get_env).map(OsStr::to_string_lossy);
        match (variable, argument, source) {
            (Some(variable), Some(argument), ValueSource::EnvVariable) => {
                let option = format!("{argument} ({variable})");
                parsed.map_err(|error| name(error, command, option))
            }
            // Other errors name the argument.
            (_, Some(argument), _) => parsed.map_err(|error| match error.kind() {
                ErrorKind::InvalidUtf8 => name(error, command, argument.to_string()),
                _ => error,
            }),
            _ => parsed,
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        self.0.possible_values()
    }
}

/// Adds the option to an error.
fn name(error: clap::Error, command: &Command, option: String) -> clap::Error {
    // The error of a text that is not valid UTF-8 has no context.
    let mut error = match error.kind() {
        ErrorKind::InvalidUtf8 => {
            let mut error = clap::Error::new(ErrorKind::InvalidValue).with_cmd(command);
            let value = ContextValue::String("a text that is not valid UTF-8".to_owned());
            error.insert(ContextKind::InvalidValue, value);
            error
        }
        _ => error,
    };
    error.insert(ContextKind::InvalidArg, ContextValue::String(option));
    error
}
