//! The process of the compute worker: `cargo run -p fibpro --bin compute_worker`.

use std::process::ExitCode;

use clap::Parser;
use fibpro::serve::{self, compute_worker};

#[tokio::main]
async fn main() -> ExitCode {
    serve::run(compute_worker::ComputeWorkerOptions::parse()).await
}
