//! The process of the user store: `cargo run -p fibpro --bin userstore`.

use std::process::ExitCode;

use clap::Parser;
use fibpro::serve::{self, userstore};

#[tokio::main]
async fn main() -> ExitCode {
    serve::run(userstore::UserStoreOptions::parse()).await
}
