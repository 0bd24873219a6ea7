//! A layer is a function around calls: here clients send a token that a server requires.

#![allow(clippy::print_stdout, reason = "an example prints its results")]

use rpc_runtime::middleware::{Next, Request, Response};
use rpc_runtime::{Client, prelude::*};

#[rpc_service(package = "examples.v1")]
trait Vault {
    async fn open(&self) -> Result<String>;
}

struct Gold;

impl Vault for Gold {
    // The layer has checked the token, and left the visitor in the context.
    async fn open(&self) -> Result<String> {
        let context = Context::current();
        let visitor = context
            .extension::<Visitor>()
            .map_or("nobody", |visitor| visitor.0);
        Ok(format!("gold for {visitor}"))
    }
}

/// The owner of a token.
struct Visitor(&'static str);

/// Checks the token on the server. A layer that does not run `next`, the rest, responds itself.
async fn require_token(mut request: Request, next: Next) -> Result<Response> {
    match request.metadata().get("x-token") {
        Some("sesame") => {}
        Some(_) => fail!(Code::PermissionDenied, "invalid token in x-token"),
        None => fail!(Code::Unauthenticated, "missing token: send it in x-token"),
    }
    request.insert_extension(Visitor("Ali Baba"));
    Ok(next.run(request).await)
}

/// Prints each call. A layer sees the method, the context and the outcome, not HTTP.
async fn trace(request: Request, next: Next) -> Response {
    let method = request.method().short_name();
    let response = next.run(request).await;
    match response.error() {
        None => println!("  {method} ok"),
        Some(error) => println!("  {method} {}", error.code()),
    }
    response
}

#[tokio::main]
async fn main() -> Result<()> {
    // The layers of the server are outside those of a service: `trace` sees what `require_token`
    // refuses. Both leave out `Ping` and other built-in methods.
    let server = Server::new("vault")
        .listen("127.0.0.1:0")
        .layer(trace)
        .add(VaultServer::new(Gold).layer(require_token))
        .bind()
        .await?;
    let client = Client::new(&format!("http://{}", server.addresses()[0]))?;
    tokio::spawn(server.serve(std::future::pending()));

    for token in [None, Some("open"), Some("sesame")] {
        // A closure is a layer as well, and may capture values.
        let add_token = move |mut request: Request, next: Next| async move {
            if let Some(token) = token {
                request.metadata_mut().append("x-token", token)?;
            }
            Ok::<_, Error>(next.run(request).await)
        };
        let vault = VaultClient::with_client(client.clone().layer(add_token));
        println!("with the token {token:?}:");
        match vault.open().await {
            Ok(found) => println!("  found {found}"),
            Err(error) => println!("  {error}"),
        }
    }
    Ok(())
}
