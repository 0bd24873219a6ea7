//! The process of the controller: `cargo run -p fibpro --bin controller`.

use std::process::ExitCode;

use clap::Parser;
use fibpro::serve::{self, controller};

#[tokio::main]
async fn main() -> ExitCode {
    serve::run(controller::ControllerOptions::parse()).await
}
