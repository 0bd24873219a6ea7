//! The process of pricing: `cargo run -p fibpro --bin pricing`.

use std::process::ExitCode;

use clap::Parser;
use fibpro::serve::{self, pricing};

#[tokio::main]
async fn main() -> ExitCode {
    serve::run(pricing::PricingOptions::parse()).await
}
