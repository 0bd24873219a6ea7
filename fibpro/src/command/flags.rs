//! `fibpro flags`: shows and changes the flags of a running server.

use std::io::{self, Write};

use fibpro::terminal::{is_unsafe, one_line};
use rpc_runtime::flag_service::FlagServiceClient;
use rpc_runtime::flags::FlagInfo;

use super::CommandError;
use super::target::ServerTarget;

/// Show the flags of a running server, or change some of them
#[derive(Debug, clap::Args)]
pub(crate) struct FlagsOptions {
    /// Values to set, in order, such as `log_rpc=true`; without any, all flags are shown
    #[arg(value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,

    /// Flag whose run-time value is removed; may be repeated
    #[arg(long, value_name = "NAME")]
    reset: Vec<String>,

    #[command(flatten)]
    server: ServerTarget,
}

fn setting(text: &str) -> Result<(String, String), String> {
    if text.contains("://") && !text.contains('=') {
        return Err("use `--to URL` to select the server".to_owned());
    }
    let setting = text.split_once('=');
    let setting = setting.map(|(name, value)| (name.trim().to_owned(), value.to_owned()));
    setting.ok_or_else(|| "expected NAME=VALUE, or `--reset NAME` to remove a value".to_owned())
}

pub(crate) async fn run(options: FlagsOptions, out: &mut impl Write) -> Result<(), CommandError> {
    let client = FlagServiceClient::with_client(options.server.client()?);
    if options.settings.is_empty() && options.reset.is_empty() {
        let flags = client.list().await?;
        return write_flags(&flags, out).map_err(CommandError::Output);
    }
    // Each change is printed when it is made: a rejected one changes nothing, and earlier ones
    // stay.
    for name in &options.reset {
        write_value(&client.reset(name).await?, out).map_err(CommandError::Output)?;
    }
    for (name, value) in &options.settings {
        write_value(&client.set(name, value).await?, out).map_err(CommandError::Output)?;
    }
    Ok(())
}

fn write_value(flag: &FlagInfo, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{} = {}   from {}",
        one_line(&flag.name),
        shown(&flag.value),
        flag.origin
    )
}

fn write_flags(flags: &[FlagInfo], out: &mut impl Write) -> io::Result<()> {
    for (index, flag) in flags.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        write_value(flag, out)?;
        let kind = if flag.dynamic {
            "dynamic"
        } else {
            "set at start"
        };
        writeln!(
            out,
            "    {kind}, {}, default {}",
            one_line(&flag.accepts),
            shown(&flag.default)
        )?;
        for line in flag.description.lines() {
            writeln!(out, "    {}", one_line(line))?;
        }
    }
    Ok(())
}

/// Returns a value on one line without control characters; quoted where it could be mistaken for
/// something else.
fn shown(value: &str) -> String {
    if !value.is_empty() && value.trim() == value && !value.contains(is_unsafe) {
        value.to_owned()
    } else {
        one_line(&format!("{value:?}")).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_line_that_can_be_seen() {
        for (value, text) in [
            ("true", "true"),
            ("a, b", "a, b"),
            ("", "\"\""),
            (" a", "\" a\""),
            ("a\nb\u{1b}[31m\u{2028}", r#""a\nb\u{1b}[31m\u{2028}""#),
            ("a\u{202e}b\u{9b}", r#""a\u{202e}b\u{9b}""#),
        ] {
            assert_eq!(shown(value), text);
        }
    }
}
