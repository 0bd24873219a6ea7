//! axum in a server, and a server in axum: plain HTTP routes beside methods, and methods in an
//! application that has a router already.

#![allow(clippy::print_stdout, reason = "an example prints its results")]

// The axum of an application, with the features that it needs itself, such as `http1` and `tokio`
// for `axum::serve`. `rpc_runtime::axum` is the same crate with `form`, `json` and `query`.
use axum::extract::Query;
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, HttpAccess};
use serde::{Deserialize, Serialize};

#[rpc_service(package = "examples.v1")]
trait Greeter {
    /// Also as `POST /hello` with the same JSON.
    #[rpc(post = "/hello")]
    async fn greet(&self, name: &str) -> Result<String>;
}

#[derive(Clone)]
struct English;

impl Greeter for English {
    async fn greet(&self, name: &str) -> Result<String> {
        Ok(format!("Hello {name}"))
    }
}

#[derive(Serialize, Deserialize)]
struct Visitor {
    name: String,
}

/// Routes that are not methods: forms, queries and JSON as axum has them.
fn pages() -> Router {
    Router::new()
        .route(
            "/query",
            get(async |Query(visitor): Query<Visitor>| Json(visitor)),
        )
        .route(
            "/form",
            post(async |Form(visitor): Form<Visitor>| visitor.name),
        )
}

#[tokio::main]
async fn main() -> Result<()> {
    // 1. Plain routes in a server, with its limits, log and policy. Metrics are for this host, the
    // pages for all; by default a route needs a signature where the server has keys.
    let metrics = Router::new().route("/metrics", get(async || "greetings 1\n"));
    let server = Server::new("greeter")
        .listen("127.0.0.1:0")
        .http_for(HttpAccess::Internal, metrics)
        .http_for(HttpAccess::Public, pages())
        .add(GreeterServer::new(English))
        .bind()
        .await?;
    let url = format!("http://{}", server.addresses()[0]);
    tokio::spawn(server.serve(std::future::pending()));
    println!("{}", GreeterClient::connect(&url)?.greet("Ada").await?);

    // 2. Methods in an application, which has the listener and the limits of connections.
    let greeter = Server::new("greeter").add(GreeterServer::new(English));
    let app = pages().merge(greeter.into_router()?);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.map_err(|error| Error::new(Code::Unavailable, error.to_string()))?;
    let address = listener
        .local_addr()
        .map_or_else(|_| String::new(), |at| at.to_string());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let client = Client::new(&format!("http://{address}"))?;
    println!(
        "{}",
        GreeterClient::with_client(client).greet("Grace").await?
    );
    Ok(())
}
