//! Signals of child processes.

use std::ffi::OsStr;
use std::process::Command;

/// Returns a command with the default actions of SIGINT and SIGHUP, which a child inherits as
/// ignored where the tests run under `nohup` or by the `&` of a shell.
pub fn undisturbed(program: impl AsRef<OsStr>) -> Command {
    /// SIGHUP and SIGINT in a mask.
    const HUP_AND_INT: u64 = 0b11;

    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut masks = status
        .lines()
        .filter_map(|line| line.strip_prefix("SigIgn:"));
    let mask = masks
        .next()
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    if mask.is_none_or(|mask| mask & HUP_AND_INT == 0) {
        return Command::new(program);
    }
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP,INT").arg(program);
    command
}

/// Returns a command with SIGINT and SIGHUP ignored, as `nohup` and the `&` of a shell start it.
pub fn ignoring(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"trap "" HUP INT; exec "$0" "$@""#])
        .arg(program);
    command
}
