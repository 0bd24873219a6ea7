//! Users and roles: tokens at the edge, the user in a service behind it, a policy by role.

#![allow(clippy::print_stdout, reason = "an example prints its results")]

use rpc_runtime::authentication::BearerAuth;
use rpc_runtime::{Callers, IdentityKeys, Policy, Principal, prelude::*};

#[rpc_service(package = "examples.v1")]
trait Desk {
    async fn greet(&self) -> Result<String>;
    async fn close(&self) -> Result<String>;
}

#[rpc_service(package = "examples.v1")]
trait Book {
    /// Returns the user of the call.
    async fn reader(&self) -> Result<String>;
}

struct Paper;

impl Book for Paper {
    async fn reader(&self) -> Result<String> {
        let user = Context::current().principal();
        Ok(user.map_or("a service".to_owned(), |user| user.subject().to_owned()))
    }
}

struct Front(BookClient);

impl Desk for Front {
    async fn greet(&self) -> Result<String> {
        // The call carries the user on.
        Ok(format!("Hello {}", self.0.reader().await?))
    }

    async fn close(&self) -> Result<String> {
        Ok("closed".to_owned())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    // Both servers have the key, so the user is signed on its way.
    let keys = IdentityKeys::parse("k1 pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=")?;
    let book = Server::new("book")
        .listen("127.0.0.1:0")
        .identity(keys.clone());
    let book = book.add(BookServer::new(Paper)).bind().await?;
    let front = Front(BookClient::connect(&format!(
        "http://{}",
        book.addresses()[0]
    ))?);
    tokio::spawn(book.serve(std::future::pending()));

    let desk = Server::new("desk")
        .listen_edge("127.0.0.1:0")
        .identity(keys)
        .authenticate(BearerAuth::new(|token| async move {
            Ok(match token.expose().as_str() {
                "t-alice" => Some(Principal::new("alice").with_role("manager")),
                "t-bob" => Some(Principal::new("bob")),
                _ => None,
            })
        }))
        .policy(
            Policy::new()
                .allow("examples.v1.Desk/Greet", Callers::users())
                .allow("examples.v1.Desk/Close", Callers::roles(["manager"])),
        )
        .add(DeskServer::new(front))
        .bind()
        .await?;
    let client = DeskClient::connect(&format!("http://{}", desk.addresses()[0]))?;
    tokio::spawn(desk.serve(std::future::pending()));

    for token in ["t-alice", "t-bob", "t-mallory"] {
        let value = format!("Bearer {token}");
        let greeting = client.greet().header("authorization", &*value).await;
        let closing = client.close().header("authorization", &*value).await;
        println!("{token}: {greeting:?}, {closing:?}");
    }
    Ok(())
}
