//! A trait defines a service: declare it, implement it, serve it, call it.

#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::time::Duration;

use rpc_runtime::prelude::*;

/// Greets people.
// The attribute generates `GreeterServer` and `GreeterClient`. The trait itself is not changed.
#[rpc_service(package = "examples.v1")]
trait Greeter {
    /// Greets one person.
    async fn greet(&self, name: &str) -> Result<String>;
}

/// The implementation is an ordinary `impl`: no request objects, no status codes, no attribute.
struct English;

impl Greeter for English {
    async fn greet(&self, name: &str) -> Result<String> {
        Ok(format!("Hello {name}!"))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    // A separate process would call `Server::new(…).listen(…).add(…).run().await`, which prints its
    // address and serves until Ctrl-C. Server and client share a process here, so we bind first:
    // port 0 selects a free port.
    let greeter = GreeterServer::new(English);
    let server = Server::new("greeter")
        .listen("127.0.0.1:0")
        .add(greeter)
        .bind()
        .await?;
    let url = format!("http://{}", server.addresses()[0]);
    // Serves as long as the program runs.
    tokio::spawn(server.serve(std::future::pending()));

    // The client has the methods of the trait. Arguments are borrowed as declared in the trait.
    let greeter = GreeterClient::connect(&url)?;
    println!("{}", greeter.greet("Ada").await?);

    // A call can be configured before it is awaited.
    println!(
        "{}",
        greeter
            .greet("Grace")
            .timeout(Duration::from_secs(10))
            .await?
    );

    // Every service responds to `ping`.
    let pong = greeter.ping().await?;
    println!(
        "{} {} runs at {}",
        pong.service, pong.version, pong.instance
    );
    Ok(())
}
