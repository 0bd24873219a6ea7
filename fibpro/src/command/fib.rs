//! `fibpro fib`: computes the number without any service.

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
    /// Index of the number: 0, 1, 2, …
    #[arg(value_name = "N", allow_negative_numbers = true)]
    n: String,

    /// Print each addition on the way to the number
    #[arg(long)]
    trace: bool,

    /// Print on stderr the time taken, or the place in the program where an invalid N was detected
    #[arg(short, long)]
    verbose: bool,
}

pub(crate) fn run(options: &FibOptions, out: &mut impl Write) -> Result<(), CommandError> {
    let n = number::parse(&options.n, u64::MAX).map_err(|bad| {
        // Captured whatever RUST_BACKTRACE is, since --verbose asks for it.
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
    // Only Ctrl-C stops the computation, by ending the process.
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
