//! Users of calls: authentication at an edge, and what goes by the user behind it.

mod anyone;
mod bad_credentials;
mod before_calls;
mod by_user;
mod caches;
mod forged;
mod guesser;
mod hostile;
mod jwt;
mod plain;
mod rates;
mod unknown_paths;
mod unknown_peers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rpc_runtime::authentication::{BasicAuth, BearerAuth};
use rpc_runtime::prelude::*;
use rpc_runtime::{IdentityKeys, Principal, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, Response, post_with};

/// A service at an edge.
#[rpc_service(package = "users.v1")]
trait Desk {
    /// Returns the user as the argument and as the current context have it, and as the vault sees
    /// it.
    async fn who(&self, ctx: &Context) -> Result<Vec<String>>;
    #[rpc(detached)]
    async fn who_detached(&self, ctx: &Context) -> Result<Vec<String>>;
    async fn who_keyed(
        &self,
        ctx: &Context,
        #[rpc(idempotency_key)] key: &str,
    ) -> Result<Vec<String>>;
    /// Counts the runs.
    async fn pay(&self, #[rpc(idempotency_key)] key: &str) -> Result<u32>;
    async fn pay_shared(&self, #[rpc(idempotency_key(shared))] key: &str) -> Result<u32>;
    /// For callers without credentials as well.
    async fn hours(&self) -> Result<String>;
}

/// A service behind it, which trusts signatures only.
#[rpc_service(package = "users.v1")]
trait Vault {
    async fn seen(&self) -> Result<String>;
}

struct Steel;

impl Vault for Steel {
    async fn seen(&self) -> Result<String> {
        Ok(shown(Context::current().principal()))
    }
}

#[derive(Clone)]
struct Front {
    vault: VaultClient,
    runs: Arc<AtomicU32>,
}

impl Front {
    async fn answers(&self, ctx: &Context) -> Result<Vec<String>> {
        let current = Context::current().principal();
        let seen = self.vault.seen().await?;
        Ok(vec![shown(ctx.principal()), shown(current), seen])
    }
}

impl Desk for Front {
    async fn who(&self, ctx: &Context) -> Result<Vec<String>> {
        self.answers(ctx).await
    }

    async fn who_detached(&self, ctx: &Context) -> Result<Vec<String>> {
        self.answers(ctx).await
    }

    async fn who_keyed(&self, ctx: &Context, _key: &str) -> Result<Vec<String>> {
        self.answers(ctx).await
    }

    async fn pay(&self, _key: &str) -> Result<u32> {
        Ok(self.runs.fetch_add(1, Ordering::Relaxed) + 1)
    }

    async fn pay_shared(&self, _key: &str) -> Result<u32> {
        Ok(self.runs.fetch_add(1, Ordering::Relaxed) + 1)
    }

    async fn hours(&self) -> Result<String> {
        Ok(shown(Context::current().principal()))
    }
}

fn shown(user: Option<Principal>) -> String {
    user.map_or_else(
        || "-".to_owned(),
        |user| {
            let roles: Vec<_> = user.roles().collect();
            let tenant = user.claim("tenant").unwrap_or_default();
            format!("{} [{}] {tenant}", user.subject(), roles.join(","))
        },
    )
}

fn keys() -> IdentityKeys {
    IdentityKeys::parse("k1 pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=").unwrap()
}

async fn vault() -> Running {
    let server = Server::new("vault").identity(keys());
    Running::start(server.add(VaultServer::new(Steel))).await
}

/// Returns the server of the desk without authenticators.
fn desk(vault: &Running) -> Server {
    let vault = VaultClient::connect(&vault.url()).unwrap();
    let runs = Arc::default();
    Server::new("desk")
        .identity(keys())
        .trust(Trust::Edge)
        .add(DeskServer::new(Front { vault, runs }))
}

/// Returns the server of the desk with its users: alice with the role `operator`, bob, and anyone
/// whose password is `p`.
fn desk_with_users(vault: &Running) -> Server {
    desk(vault)
        .authenticate(BasicAuth::new("desk", |user, password| async move {
            Ok(
                (password.expose() == "p")
                    .then(|| Principal::new(user).with_claim("tenant", "red")),
            )
        }))
        .authenticate(BearerAuth::new(|token| async move {
            Ok(match &**token.expose() {
                "t-alice" => Some(Principal::new("alice").with_role("operator")),
                "t-bob" => Some(Principal::new("bob")),
                "t-down" => fail!(Code::Unavailable, "the store of tokens does not respond"),
                "t-panic" => panic!("no such token"),
                "t-huge" => Some(Principal::new("h").with_claim("photo", "x".repeat(3000))),
                "t-empty" => Some(Principal::new("")),
                _ => None,
            })
        }))
        .allow_anonymous("users.v1.Desk/Hours")
}

/// Calls a method with this value of `Authorization`, or without one if it is empty.
async fn call(server: &Running, method: &str, authorization: &str, body: &str) -> Response {
    let lines: &[(&str, &str)] = match authorization {
        "" => &[],
        value => &[("authorization", value)],
    };
    let target = format!("/users.v1.Desk/{method}");
    let mut raw = Raw::connect(server.address()).await;
    raw.ask(post_with(&target, lines, body)).await
}

#[tokio::test]
async fn a_user_reaches_every_handler_and_the_next_service() {
    let vault = vault().await;
    let desk = Running::start(desk_with_users(&vault)).await;
    for (method, body) in [
        ("Who", "{}"),
        ("WhoDetached", "{}"),
        ("WhoKeyed", r#"{"key":"k"}"#),
    ] {
        for (authorization, user) in [
            ("Bearer t-alice", "alice [operator] "),
            ("bearer t-bob", "bob [] "),
            ("Basic em/DqzpwOg==", ""),
            ("Basic em/Dqzpw", "zoë [] red"),
        ] {
            let response = call(&desk, method, authorization, body).await;
            if user.is_empty() {
                assert_eq!(response.error().1, "unauthenticated", "{authorization}");
                continue;
            }
            let expected = serde_json::json!([user, user, user]);
            assert_eq!(response.value(), (200, expected), "{method}");
        }
    }
}

#[tokio::test]
async fn a_layer_can_set_the_user() {
    use rpc_runtime::middleware::{Next, Request, Response};

    async fn tenant(request: Request, next: Next) -> Response {
        let user = Principal::new("from a layer");
        if let Err(error) = request.context().set_principal(user) {
            return error.into();
        }
        next.run(request).await
    }

    let vault = vault().await;
    let desk = Running::start(desk_with_users(&vault).layer(tenant)).await;
    for (method, body) in [
        ("Who", "{}"),
        ("WhoDetached", "{}"),
        ("WhoKeyed", r#"{"key":"k"}"#),
    ] {
        let user = "from a layer [] ";
        let expected = serde_json::json!([user, user, user]);
        let response = call(&desk, method, "Bearer t-bob", body).await;
        assert_eq!(response.value(), (200, expected), "{method}");
    }
}

#[tokio::test]
async fn a_layer_can_run_the_rest_for_a_user() {
    use rpc_runtime::middleware::{Next, Request, Response};

    async fn tenant(request: Request, next: Next) -> Response {
        let tenant = request.metadata().get("x-tenant").unwrap_or_default();
        match Context::current().with_principal(Principal::new(tenant)) {
            Ok(context) => context.scope(next.run(request)).await,
            Err(error) => error.into(),
        }
    }

    let vault = vault().await;
    let desk = Running::start(desk_with_users(&vault).layer(tenant)).await;
    let mut raw = Raw::connect(desk.address()).await;
    // With one key, each user has a result of its own, and a repeat has that of its user.
    for (user, run) in [("ada", 1), ("eve", 2), ("ada", 1)] {
        let lines = [("authorization", "Bearer t-bob"), ("x-tenant", user)];
        let pay = post_with("/users.v1.Desk/Pay", &lines, r#"{"key":"k"}"#);
        assert_eq!(
            raw.ask(pay).await.value(),
            (200, serde_json::json!(run)),
            "{user}"
        );
        let who = post_with("/users.v1.Desk/WhoKeyed", &lines, r#"{"key":"k"}"#);
        let seen = raw.ask(who).await.json();
        assert_eq!(seen["result"][2], format!("{user} [] "), "{seen}");
    }
}
