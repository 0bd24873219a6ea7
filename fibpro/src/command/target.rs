//! Which server a command talks to.

use fibpro::tool::keys::KeyOptions;
use rpc_runtime::{Client, Result};

/// The log sink.
#[derive(Debug, clap::Args)]
pub(crate) struct SinkTarget {
    /// Where the log sink listens
    #[arg(long, env = "FIBPRO_LOGSINK", value_name = "URL", default_value = "http://127.0.0.1:9002", value_parser = Client::new)]
    to: Client,

    #[command(flatten)]
    keys: KeyOptions,
}

/// Any server.
#[derive(Debug, clap::Args)]
pub(crate) struct ServerTarget {
    /// Where the server listens for other services: an `http` or a `unix` URL
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9002", value_parser = Client::new)]
    to: Client,

    #[command(flatten)]
    keys: KeyOptions,
}

impl SinkTarget {
    /// A client that signs where there are keys.
    pub(crate) fn client(self) -> Result<Client> {
        self.keys.sign(self.to)
    }
}

impl ServerTarget {
    /// A client that signs where there are keys.
    pub(crate) fn client(self) -> Result<Client> {
        self.keys.sign(self.to)
    }
}
