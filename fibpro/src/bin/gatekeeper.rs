//! The process of the gatekeeper: `cargo run -p fibpro --bin gatekeeper`.

use std::process::ExitCode;

use clap::Parser;
use fibpro::api::compute_worker::{DEFAULT_LARGEST_N, LARGEST_N};
use fibpro::api::controller::ControllerClient;
use fibpro::api::userstore::UserStoreClient;
use fibpro::process;
use fibpro::service::gatekeeper::Gatekeeper;
use rpc_runtime::{Result, Server};

/// Where it listens unless told otherwise.
const ADDRESS: &str = "127.0.0.1:9001";

/// Sells Fibonacci numbers to the outside world over plain HTTP; listens on 127.0.0.1:9001
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    process: process::Options,

    /// The largest n that is sold, up to 20,000,000
    #[arg(
        long,
        env = "FIBPRO_LARGEST_N",
        value_name = "N",
        default_value_t = DEFAULT_LARGEST_N,
        value_parser = clap::value_parser!(u64).range(..=LARGEST_N)
    )]
    largest_n: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    process::exit_code(run(Options::parse()).await)
}

async fn run(options: Options) -> Result<()> {
    let process::Options {
        mut server,
        endpoints,
    } = options.process;
    // Each address of it is an edge, however it was given: a proxy on this host makes the whole world look local.
    server.listen_edge.append(&mut server.listen);
    let userstore = UserStoreClient::with_client(endpoints.client("userstore")?);
    let controller = ControllerClient::with_client(endpoints.client("controller")?);
    let gatekeeper = Gatekeeper::new(userstore, controller).largest_n(options.largest_n);
    Server::new("gatekeeper")
        .listen_edge(ADDRESS)
        .options(server)
        .http(gatekeeper.into_routes())
        .run()
        .await
}
