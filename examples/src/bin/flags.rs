//! A flag is a typed, validated setting that an operator changes at run time; each change is
//! written to the audit log.

#![allow(clippy::print_stdout, reason = "an example prints its results")]

use rpc_runtime::flag_service::FlagServiceClient;
use rpc_runtime::prelude::*;

rpc_runtime::flag! {
    /// The greeting.
    static GREETING: String = "Hello".to_owned(), dynamic, validate = one_of(["Hello", "Good morning", "Hi"]);
    /// Number of repetitions of the name.
    static TIMES: u32 = 1, dynamic, validate = range(1..=3);
}

#[rpc_service(package = "examples.v1")]
trait PoliteGreeter {
    async fn greet(&self, name: &str) -> Result<String>;
}

struct English;

impl PoliteGreeter for English {
    // `get` is an atomic read; `load` is for types that are not `Copy`. Both use the server of the
    // current call.
    async fn greet(&self, name: &str) -> Result<String> {
        let names = vec![name; TIMES.get() as usize].join(", ");
        Ok(format!("{} {names}!", GREETING.load()))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    // The program may override the default; a file, the environment and the command line take
    // precedence.
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

    // The equivalent of `fibpro flags --to URL greeting=Hi`.
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
