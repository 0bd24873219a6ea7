//! The gatekeeper: its edge, and a listener for operators.

use rpc_runtime::{Result, Server, server};

use super::{PreparedService, ServiceOptions};
use crate::api::controller::ControllerClient;
use crate::api::userstore::UserStoreClient;
use crate::process;
use crate::service::gatekeeper::Gatekeeper;

/// Where it listens unless told otherwise.
const ADDRESS: &str = "127.0.0.1:9001";

/// Where it listens for operators unless told otherwise.
const OPERATOR: &str = "127.0.0.1:9011";

/// Sells Fibonacci numbers to the outside world over plain HTTP; listens on 127.0.0.1:9001
#[derive(Debug, clap::Parser)]
#[command(version)]
#[group(skip)]
pub struct GatekeeperOptions {
    #[command(flatten)]
    process: process::ProcessOptions,

    /// Where operators ask it for its status and set its flags, which the outside world cannot; or `none`
    #[arg(long, env = "FIBPRO_OPERATOR", value_name = "ADDRESS", default_value = OPERATOR)]
    operator: String,

    #[command(flatten)]
    bound: process::LargestN,
}

impl ServiceOptions for GatekeeperOptions {
    async fn prepare(self) -> Result<PreparedService> {
        let process::ProcessOptions {
            server: mut options,
            endpoints,
        } = self.process;
        let userstore = UserStoreClient::with_client(endpoints.client("userstore")?);
        let controller = ControllerClient::with_client(endpoints.client("controller")?);
        let gatekeeper = Gatekeeper::new(userstore, controller).largest_n(self.bound.largest_n);
        // Each address of it is an edge, however it was given: a proxy on this host makes the whole world look local.
        let mut edges = std::mem::take(&mut options.listen);
        edges.append(&mut options.listen_edge);
        if edges.is_empty() {
            edges.push(ADDRESS.to_owned());
        }
        let mut server = Server::new("gatekeeper")
            // It has no service that would say it.
            .version(env!("CARGO_PKG_VERSION"))
            .options(options);
        for edge in edges {
            server = server.listen_edge(edge);
        }
        // Behind the edge: the first address is the one that the server is known by.
        if self.operator != "none" {
            server = server.listen(self.operator);
        }
        Ok(PreparedService::new(server.http(gatekeeper.into_routes())))
    }

    fn server_mut(&mut self) -> &mut server::ServerOptions {
        &mut self.process.server
    }
}
