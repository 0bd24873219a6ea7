//! The gatekeeper: an edge listener, and an internal listener for operators.

use clap::builder::{BoolishValueParser, StringValueParser};
use rpc_runtime::env_option::{named, variable};
use rpc_runtime::{HttpAccess, Result, Server, ServerOptions};

use super::{PreparedService, ServiceOptions};
use crate::api::controller::ControllerClient;
use crate::api::userstore::UserStoreClient;
use crate::endpoints::GATEKEEPER;
use crate::process;
use crate::service::gatekeeper::Gatekeeper;

/// Sells Fibonacci numbers to the outside world over plain HTTP; listens on 127.0.0.1:9001
#[derive(Debug, clap::Parser)]
#[command(version)]
#[group(skip)]
pub struct GatekeeperOptions {
    #[command(flatten)]
    process: process::ProcessOptions,

    /// Address of the internal listener for status and flags, which the edge does not serve; or
    /// `none`
    #[arg(long, env = variable("FIBPRO_OPERATOR"), value_name = "ADDRESS", default_value_t = GATEKEEPER.internal_address(), value_parser = named(StringValueParser::new()))]
    operator: String,

    /// Refuse purchases without an `Idempotency-Key` (status 428), so that clients which repeat a
    /// lost request by themselves pay once
    #[arg(long, env = variable("FIBPRO_REQUIRE_KEY"), value_parser = named(BoolishValueParser::new()))]
    require_key: bool,

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
        let gatekeeper = Gatekeeper::new(userstore, controller)
            .largest_n(self.bound.largest_n)
            .require_key(self.require_key);
        // Every `--listen` address is an edge: behind a proxy on this host, remote callers have a
        // local address.
        let (listen, listen_edge) = (
            std::mem::take(&mut options.listen),
            std::mem::take(&mut options.listen_edge),
        );
        let mut server = Server::new("gatekeeper")
            // It has no service that would supply its version.
            .version(env!("CARGO_PKG_VERSION"))
            .options(options);
        if listen.is_empty() && listen_edge.is_empty() {
            server = server.listen_edge(GATEKEEPER.listen_address());
        }
        for edge in listen {
            server = server.listen_edge_option(edge, "--listen (RPC_LISTEN)");
        }
        for edge in listen_edge {
            server = server.listen_edge_option(edge, "--listen-edge (RPC_LISTEN_EDGE)");
        }
        // Added after the edge listener, since the first address is the name of the instance.
        if self.operator != "none" {
            server = server.listen_option(self.operator, "--operator (FIBPRO_OPERATOR)");
        }
        // The listener for operators is internal: it would trust the context headers of its
        // callers.
        let server = server.http_for(HttpAccess::Edge, gatekeeper.into_routes());
        Ok(PreparedService::new(server))
    }

    fn server_mut(&mut self) -> &mut ServerOptions {
        &mut self.process.server
    }
}
