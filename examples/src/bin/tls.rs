//! A TLS listener that shows one service, and a certificate that is replaced while it runs.
//!
//! ```text
//! openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
//!     -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout tls.key -out tls.crt
//! cargo run -p rpc-examples --bin tls -- tls.crt tls.key
//! # with the port that it prints
//! curl --cacert tls.crt https://localhost:PORT/examples.v1.Greeter/Greet \
//!     -H 'content-type: application/json' -d '{"name": "Ada"}'
//! ```
//!
//! Replace the two files, and new connections get the new certificate.

#![allow(clippy::print_stdout, reason = "an example prints its results")]

use rpc_runtime::prelude::*;
use rpc_runtime::{ListenOptions, ServerTlsConfig};

#[rpc_service(package = "examples.v1")]
trait Greeter {
    /// Greets a person, and tells from where the call came.
    async fn greet(&self, name: &str) -> Result<String>;
}

#[rpc_service(package = "examples.v1")]
trait Operator {
    /// Returns the number of greetings. Not for the outside.
    async fn greetings(&self) -> Result<u64>;
}

struct English;

impl Greeter for English {
    async fn greet(&self, name: &str) -> Result<String> {
        let from = Context::current().peer_address();
        let from = from.map_or_else(|| "here".to_owned(), |address| address.ip().to_string());
        Ok(format!("Hello {name} at {from}"))
    }
}

impl Operator for English {
    async fn greetings(&self) -> Result<u64> {
        Ok(1)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(certificate), Some(key)) = (arguments.next(), arguments.next()) else {
        println!("usage: tls CERTIFICATE KEY");
        return Ok(());
    };
    let public = ListenOptions::edge("127.0.0.1:0")
        .tls(ServerTlsConfig::new(certificate, key))
        .only(["examples.v1.Greeter"]);
    Server::new("greeter")
        .add(GreeterServer::new(English))
        .add(OperatorServer::new(English))
        .listen("127.0.0.1:0")
        .listen_with(public)
        .run()
        .await
}
