//! `fibpro log`: sends one record.

use std::io::Write;

use fibpro::api::logsink::{Level, LogSinkClient};

use super::CommandError;
use super::target::SinkTarget;

/// Send one record to the log sink
#[derive(Debug, clap::Args)]
pub(crate) struct LogOptions {
    /// Text of the record
    text: String,

    /// Level of the record: debug, info, warn or error
    #[arg(long, default_value = "info")]
    level: Level,

    #[command(flatten)]
    sink: SinkTarget,
}

pub(crate) async fn run(options: LogOptions, out: &mut impl Write) -> Result<(), CommandError> {
    let logsink = LogSinkClient::with_client(options.sink.client()?);
    if !logsink.recv_log(&options.text, options.level).await? {
        return Err(CommandError::Refused(
            "the log sink rejected the record: its text is empty",
        ));
    }
    writeln!(out, "accepted").map_err(CommandError::Output)
}
