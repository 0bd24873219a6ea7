//! `fibpro log`: one record, by hand.

use std::io::Write;

use fibpro::api::logsink::{Level, LogSinkClient};
use rpc_runtime::Client;

use super::Failure;

/// Send one record to the log sink
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What to log
    text: String,

    /// How much it matters: debug, info, warn or error
    #[arg(long, default_value = "info")]
    level: Level,

    /// Where the log sink listens
    #[arg(long, env = "FIBPRO_LOGSINK", value_name = "URL", default_value = "http://127.0.0.1:9002", value_parser = Client::new)]
    to: Client,
}

pub(crate) async fn run(options: Options, out: &mut impl Write) -> Result<(), Failure> {
    let logsink = LogSinkClient::with_client(options.to.named("fibpro")?);
    if !logsink.recv_log(&options.text, options.level).await? {
        return Err(Failure::Refused(
            "the log sink takes no record without text",
        ));
    }
    writeln!(out, "accepted").map_err(Failure::Output)
}
