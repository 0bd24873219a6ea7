//! `fibpro log`: one record, by hand.

use std::io::Write;

use fibpro::api::logsink::{Level, LogSinkClient};
use fibpro::tool::keys::Keys;
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

    #[command(flatten)]
    keys: Keys,
}

pub(crate) async fn run(options: Options, out: &mut impl Write) -> Result<(), Failure> {
    let logsink = LogSinkClient::with_client(options.keys.sign(options.to)?);
    if !logsink.recv_log(&options.text, options.level).await? {
        return Err(Failure::Refused(
            "the log sink takes no record without text",
        ));
    }
    writeln!(out, "accepted").map_err(Failure::Output)
}
