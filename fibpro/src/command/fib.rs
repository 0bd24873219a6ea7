//! `fibpro fib`: the number, without any service.

use std::backtrace::Backtrace;
use std::io::{self, Write};
use std::time::Instant;

use clap::error::ErrorKind;
use clap::{Args as _, Command};
use fibpro::fibonacci;
use fibpro::number;

use super::CommandError;

/// Print a Fibonacci number
#[derive(Debug, clap::Args)]
pub(crate) struct FibOptions {
    /// Which one: 0, 1, 2, …
    #[arg(value_name = "N", allow_negative_numbers = true)]
    n: String,

    /// Print each step of the way there, by adding
    #[arg(long)]
    trace: bool,

    /// Say on stderr how long it took, and where in the program a wrong N was noticed
    #[arg(short, long)]
    verbose: bool,
}

pub(crate) fn run(options: &FibOptions, out: &mut impl Write) -> Result<(), CommandError> {
    let n = number::parse(&options.n, u64::MAX).map_err(|bad| {
        // Captured here, whatever RUST_BACKTRACE says: it was asked for.
        let backtrace = options.verbose.then(Backtrace::force_capture);
        let command = FibOptions::augment_args(Command::new("fibpro fib"));
        CommandError::Usage(
            Box::new(
                command
                    .bin_name("fibpro fib")
                    .error(ErrorKind::ValueValidation, bad),
            ),
            backtrace,
        )
    })?;
    let started = Instant::now();
    let mut out = io::BufWriter::new(out);
    if options.trace {
        for (i, a, b) in fibonacci::iterations(n) {
            writeln!(out, "i = {i}, a = {a}, b = {b}").map_err(CommandError::Output)?;
        }
    }
    // Ctrl-C ends the process, and nothing else stops it.
    let digits = fibonacci::decimal(n, || true).map_err(io::Error::other);
    let digits = digits.map_err(CommandError::Output)?;
    let took = started.elapsed();
    writeln!(out, "{digits}")
        .and_then(|()| out.flush())
        .map_err(CommandError::Output)?;
    if options.verbose {
        fibpro::process::print_note(format_args!(
            "F({n}) has {} digits and took {took:.1?}",
            digits.len()
        ));
    }
    Ok(())
}
