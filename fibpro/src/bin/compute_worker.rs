//! The process of the compute worker: `cargo run -p fibpro --bin compute_worker`.

use std::process::ExitCode;

use clap::Parser;
use fibpro::api::compute_worker::{ComputeWorkerServer, DEFAULT_LARGEST_N, LARGEST_N};
use fibpro::process;
use fibpro::service::compute_worker::Worker;
use rpc_runtime::{Result, Server, server};

/// Where it listens unless told otherwise.
const ADDRESS: &str = "127.0.0.1:9005";

/// Computes Fibonacci numbers; listens on 127.0.0.1:9005
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    server: server::Options,

    /// The largest n that is computed, up to 20,000,000
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
    let worker = Worker::new().largest_n(options.largest_n);
    Server::new("compute_worker")
        .listen(ADDRESS)
        .options(options.server)
        .add(ComputeWorkerServer::new(worker))
        .run()
        .await
}
