//! Shared by the programs of this application: options, and how they exit.

use std::fmt::Display;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::process::ExitCode;

use rpc_runtime::env_option::{named, variable};
use rpc_runtime::stderr::Stderr;
use rpc_runtime::{Error, Result, ServerOptions};

use crate::api::compute_worker::{DEFAULT_LARGEST_N, LARGEST_N};
use crate::endpoints::Endpoints;
use crate::terminal;

/// Options of a service that calls others. A service that calls none has [`ServerOptions`]
/// only.
#[derive(Debug, clap::Args)]
// Without a clap group id of its type name, since the options of each program have the same id.
#[group(skip)]
pub struct ProcessOptions {
    /// Options of every server.
    #[command(flatten)]
    pub server: ServerOptions,

    /// Addresses of the other services.
    #[command(flatten)]
    pub endpoints: Endpoints,
}

/// The maximum of n: one setting for the seller and the worker, so that every number sold can be
/// computed.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct LargestN {
    /// Largest n that is accepted, up to 20,000,000
    #[arg(
        long,
        env = variable("FIBPRO_LARGEST_N"),
        value_name = "N",
        default_value_t = DEFAULT_LARGEST_N,
        value_parser = named(whole_number(0..=LARGEST_N, "a whole number"))
    )]
    pub largest_n: u64,
}

/// Returns a parser of whole numbers. Its errors say what is expected, such as `a whole number of
/// seconds`.
pub fn whole_number(
    range: RangeInclusive<u64>,
    expected: &'static str,
) -> impl Fn(&str) -> Result<u64, String> + Clone {
    move |text| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_number.then(|| text.parse().ok()).flatten();
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let (least, most) = (range.start(), range.end());
                format!("expected {expected} from {least} to {most}")
            })
    }
}

/// Returns the exit code of a process: 0, or 1 with the reason on stderr.
#[must_use]
pub fn exit_code<T>(outcome: Result<T>) -> ExitCode {
    match outcome {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(error.message());
            ExitCode::FAILURE
        }
    }
}

/// Returns an error whose message starts with the option that caused it.
#[must_use]
pub fn caused_by(option: &str, error: &Error) -> Error {
    Error::new(error.code(), format!("{option}: {}", error.message()))
}

/// Prints a note on stderr. What would control a terminal is escaped, except line feeds and
/// tabs. A stderr that blocks is not waited for.
pub fn print_note(text: impl Display) {
    let text = terminal::lines(&text.to_string());
    // Never an error.
    let _ = writeln!(Stderr, "{text}");
}

/// Prints an error on stderr.
pub fn print_error(text: impl Display) {
    print_note(format_args!("error: {text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_refused_is_explained() {
        let seconds = whole_number(1..=86_400, "a whole number of seconds");
        assert_eq!(seconds("1"), Ok(1));
        assert_eq!(seconds("86400"), Ok(86_400));
        for text in [
            "",
            "0",
            "86401",
            "5s",
            "1e6",
            "+1",
            "-1",
            "1.5",
            " 1",
            "99999999999999999999",
        ] {
            let error = seconds(text).unwrap_err();
            assert_eq!(
                error, "expected a whole number of seconds from 1 to 86400",
                "{text}"
            );
        }
    }
}
