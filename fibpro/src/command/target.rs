//! Which server a command talks to.

use fibpro::tool::keys::Keys;
use rpc_runtime::{Client, Result};

/// The log sink.
#[derive(Debug, clap::Args)]
pub(crate) struct Sink {
    /// Where the log sink listens
    #[arg(long, env = "FIBPRO_LOGSINK", value_name = "URL", default_value = "http://127.0.0.1:9002", value_parser = Client::new)]
    to: Client,

    #[command(flatten)]
    keys: Keys,
}

/// Any server.
#[derive(Debug, clap::Args)]
pub(crate) struct Server {
    /// Where the server listens for other services: an `http` or a `unix` URL
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9002", value_parser = Client::new)]
    to: Client,

    #[command(flatten)]
    keys: Keys,
}

impl Sink {
    /// A client that signs where there are keys.
    pub(crate) fn client(self) -> Result<Client> {
        self.keys.sign(self.to)
    }
}

impl Server {
    /// A client that signs where there are keys.
    pub(crate) fn client(self) -> Result<Client> {
        self.keys.sign(self.to)
    }
}
