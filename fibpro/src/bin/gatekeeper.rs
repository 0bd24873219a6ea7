//! The process of the gatekeeper: `cargo run -p fibpro --bin gatekeeper`.

use std::process::ExitCode;

use clap::Parser;
use fibpro::serve::{self, gatekeeper};

#[tokio::main]
async fn main() -> ExitCode {
    serve::run(gatekeeper::GatekeeperOptions::parse()).await
}
