//! The server that a command calls.

use fibpro::tool::keys::KeyOptions;
use rpc_runtime::env_option::{masked_url, named, variable};
use rpc_runtime::{Client, Result};

/// Options that select the log sink.
#[derive(Debug, clap::Args)]
pub(crate) struct SinkTarget {
    /// URL of the log sink
    #[arg(long, env = variable("FIBPRO_LOGSINK"), value_name = "URL", default_value = "http://127.0.0.1:9002", hide_env_values = true, value_parser = named(masked_url(client)))]
    to: Client,

    #[command(flatten)]
    keys: KeyOptions,
}

/// Options that select any server.
#[derive(Debug, clap::Args)]
pub(crate) struct ServerTarget {
    /// URL of an internal listener of the server, `http` or `unix`
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9002", value_parser = masked_url(client))]
    to: Client,

    #[command(flatten)]
    keys: KeyOptions,
}

impl SinkTarget {
    /// Returns the client, which signs calls if there are keys.
    pub(crate) fn client(self) -> Result<Client> {
        self.keys.sign(self.to)
    }
}

impl ServerTarget {
    /// Returns the client, which signs calls if there are keys.
    pub(crate) fn client(self) -> Result<Client> {
        self.keys.sign(self.to)
    }
}

/// Parses a URL. Without the code of the error, which is for programs.
pub(super) fn client(url: &str) -> Result<Client, String> {
    Client::new(url).map_err(|error| error.message().to_owned())
}
