//! Layers of `tower-http` stand around a server as they are: here a token is checked, and a header
//! is set on every response.

#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::future::{Ready, ready};

use rpc_runtime::axum::body::Body;
use rpc_runtime::axum::http::{HeaderValue, Request, StatusCode, header};
use rpc_runtime::axum::response::{IntoResponse as _, Response};
use rpc_runtime::prelude::*;
use tower_http::auth::AsyncRequireAuthorizationLayer;
use tower_http::set_header::SetResponseHeaderLayer;

#[rpc_service(package = "examples.v1")]
trait Vault {
    async fn open(&self) -> Result<String>;
}

struct Gold;

impl Vault for Gold {
    async fn open(&self) -> Result<String> {
        let context = Context::current();
        let visitor = context
            .extension::<Visitor>()
            .map_or("?", |visitor| visitor.0);
        Ok(format!("gold for {visitor}"))
    }
}

/// The owner of a token.
struct Visitor(&'static str);

/// Refuses a request, or hands the visitor on: in a context in the extensions of the request.
fn authorize(mut request: Request<Body>) -> Ready<Result<Request<Body>, Response>> {
    let token = request.headers().get(header::AUTHORIZATION);
    if token.is_none_or(|token| token != "Bearer sesame") {
        return ready(Err(StatusCode::UNAUTHORIZED.into_response()));
    }
    let context = Context::current().with_extension(Visitor("Ali Baba"));
    request.extensions_mut().insert(context);
    ready(Ok(request))
}

#[tokio::main]
async fn main() -> Result<()> {
    let cave = HeaderValue::from_static("cave/1");
    // The first layer is the outermost: a refused request has the header too. `/healthz`, the
    // limits and the log line of each request stay outside of both.
    let server = Server::new("vault")
        .listen("127.0.0.1:0")
        .http_layer(SetResponseHeaderLayer::overriding(header::SERVER, cave))
        .http_layer(AsyncRequireAuthorizationLayer::new(authorize))
        .add(VaultServer::new(Gold))
        .bind()
        .await?;
    let vault = VaultClient::connect(&format!("http://{}", server.addresses()[0]))?;
    tokio::spawn(server.serve(std::future::pending()));

    let refused = vault.open().await.err();
    println!("without a token: {:?}", refused.map(|error| error.code()));
    let call = vault.open().header("authorization", "Bearer sesame");
    println!("with a token:    {}", call.await?);
    Ok(())
}
