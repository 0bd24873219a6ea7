//! A layer is a function around every call, on either side: here clients send a token that a server
//! requires.

#![allow(clippy::print_stdout, reason = "an example prints its results")]

use rpc_runtime::middleware::{Next, Request, Response};
use rpc_runtime::{Client, prelude::*};

#[rpc_service(package = "examples.v1")]
trait Vault {
    async fn open(&self) -> Result<String>;
}

struct Gold;

impl Vault for Gold {
    // Needs no check of the token: the layer has made it.
    async fn open(&self) -> Result<String> {
        Ok("gold".to_owned())
    }
}

/// Checks the token on the server. `next` is the rest of the middleware stack; a layer that does
/// not run it responds itself.
async fn require_token(request: Request, next: Next) -> Response {
    match request.metadata().get("x-token") {
        Some("sesame") => next.run(request).await,
        Some(_) => Error::new(Code::PermissionDenied, "invalid token in x-token").into(),
        None => Error::new(Code::Unauthenticated, "missing token: send it in x-token").into(),
    }
}

/// Prints each call. A layer works on both sides: it sees the method, the context and the outcome,
/// not HTTP.
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
    // The first layer is the outermost: `trace` sees the calls that `require_token` refuses.
    let server = Server::new("vault").layer(trace).layer(require_token);
    let server = server
        .listen("127.0.0.1:0")
        .add(VaultServer::new(Gold))
        .bind()
        .await?;
    let client = Client::new(&format!("http://{}", server.addresses()[0]))?;
    tokio::spawn(server.serve(std::future::pending()));

    for token in [None, Some("open"), Some("sesame")] {
        // A closure is a layer as well, and may capture values.
        let vault = VaultClient::with_client(client.clone().layer(
            move |mut request: Request, next: Next| async move {
                if let Some(token) = token
                    && let Err(invalid) = request.metadata_mut().append("x-token", token)
                {
                    return Error::new(Code::InvalidArgument, invalid.to_string()).into();
                }
                next.run(request).await
            },
        ));
        println!("with the token {token:?}:");
        match vault.open().await {
            Ok(found) => println!("  found {found}"),
            Err(error) => println!("  {error}"),
        }
    }
    Ok(())
}
