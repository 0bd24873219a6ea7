//! A flag is a setting that an operator changes while the server runs: typed, checked, and with an audit line a change.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use rpc_runtime::flag_service::FlagServiceClient;
use rpc_runtime::prelude::*;

rpc_runtime::flag! {
    /// How polite the greeter is.
    static GREETING: String = "Hello".to_owned(), dynamic, validate = one_of(["Hello", "Good morning", "Hi"]);
    /// How often a name is said.
    static TIMES: u32 = 1, dynamic, validate = range(1..=3);
}

#[rpc_service(package = "examples.v1")]
trait PoliteGreeter {
    async fn greet(&self, name: &str) -> Result<String>;
}

struct English;

impl PoliteGreeter for English {
    // `get` is an atomic read; `load` is for what cannot be copied. Both ask the server whose call runs here.
    async fn greet(&self, name: &str) -> Result<String> {
        let names = vec![name; TIMES.get() as usize].join(", ");
        Ok(format!("{} {names}!", GREETING.load()))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    // The program may have defaults of its own; a file, the environment and the command line come before them.
    let server = Server::new("greeter").flag(&TIMES, 2);
    let server = server
        .listen("127.0.0.1:0")
        .add(PoliteGreeterServer::new(English))
        .bind()
        .await?;
    let url = format!("http://{}", server.addresses()[0]);
    tokio::spawn(server.serve(std::future::pending()));
    let greeter = PoliteGreeterClient::connect(&url)?;
    println!("{}", greeter.greet("Ada").await?);

    // What `fibpro flags --to URL greeting=Hi` does.
    let flags = FlagServiceClient::connect(&url)?;
    flags.set("greeting", "Hi").await?;
    println!("{}", greeter.greet("Ada").await?);

    if let Err(refused) = flags.set("times", "4").await {
        println!("{refused}");
    }
    for flag in flags.list().await? {
        println!("{} = {} (from {})", flag.name, flag.value, flag.origin);
    }
    Ok(())
}
