//! Web pages of another origin call a method: one line on the server.
//!
//! Run it with an origin to keep it running for your page:
//! `cargo run -p rpc-examples --bin cors -- http://localhost:3000`.

#![allow(clippy::print_stdout, reason = "an example prints its results")]

use rpc_runtime::Cors;
use rpc_runtime::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[rpc_service(package = "examples.v1")]
trait Greeter {
    async fn greet(&self, name: &str) -> Result<String>;
}

struct English;

impl Greeter for English {
    async fn greet(&self, name: &str) -> Result<String> {
        Ok(format!("Hello {name}"))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let origin = std::env::args().nth(1);
    let page = origin.as_deref().unwrap_or("https://shop.example");
    // Browsers are not trusted, so they call an edge listener. `cors(page)` would do; a page may
    // also read a header of ours.
    let cors = Cors::origins([page]).expose_header("x-price");
    let server = Server::new("greeter")
        .listen_edge("127.0.0.1:0")
        .cors(cors)
        .add(GreeterServer::new(English))
        .bind()
        .await?;
    let address = server.addresses()[0].to_string();
    if origin.is_some() {
        println!("a page of {page} may call http://{address}/examples.v1.Greeter/Greet");
        server.serve(std::future::pending()).await;
        return Ok(());
    }
    tokio::spawn(server.serve(std::future::pending()));
    // What a browser asks before it sends a request with JSON.
    for origin in [page, "https://evil.example"] {
        let allowed = preflight(&address, origin).await;
        println!("{origin}: {}", allowed.unwrap_or("not allowed".to_owned()));
    }
    Ok(())
}

/// Returns the headers that allow a page to call.
async fn preflight(address: &str, origin: &str) -> Option<String> {
    let request = format!(
        "OPTIONS /examples.v1.Greeter/Greet HTTP/1.1\r\nhost: {address}\r\norigin: {origin}\r\n\
         access-control-request-method: POST\r\naccess-control-request-headers: content-type\r\n\
         connection: close\r\n\r\n"
    );
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await.ok()?;
    response.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        (name == "access-control-allow-origin").then(|| format!("{name}: {value}"))
    })
}
