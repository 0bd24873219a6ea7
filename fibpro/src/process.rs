//! What the processes of this application have in common: how they end. Their options are those of `rpc_runtime::server::Options`.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use rpc_runtime::Result;

/// How a process ends: 0, or 1 with the reason on stderr.
#[must_use]
pub fn exit_code<T>(outcome: Result<T>) -> ExitCode {
    match outcome {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            complain(error.message());
            ExitCode::FAILURE
        }
    }
}

/// One line on stderr for the one who started the process.
pub fn complain(text: impl Display) {
    // Where nobody reads stderr the exit code has to do.
    let _ = writeln!(std::io::stderr().lock(), "error: {text}");
}

/// A line on stderr that is no error, for the one who reads the output.
pub fn remark(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
