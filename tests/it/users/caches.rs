//! Headers for shared caches: a response to one user is not for another.

use rpc_runtime::axum;
use rpc_runtime::middleware::{Next, Request, Response};
use rpc_tests::raw::{self, request};

use super::*;

/// A service whose methods are called by `GET`.
#[rpc_service(package = "users.v1")]
trait Profiles {
    #[rpc(no_side_effects, get = "/profile")]
    async fn profile(&self) -> Result<String>;
    /// Fails for every user, with a status that caches keep without being told to.
    #[rpc(no_side_effects, get = "/missing")]
    async fn missing(&self) -> Result<String>;
    /// States what caches may do.
    #[rpc(no_side_effects, get = "/cached")]
    async fn cached(&self, control: &str) -> Result<String>;
}

struct Shelf;

impl Profiles for Shelf {
    async fn profile(&self) -> Result<String> {
        Ok(shown(Context::current().principal()))
    }

    async fn missing(&self) -> Result<String> {
        fail!(Code::NotFound, "no photo");
    }

    async fn cached(&self, control: &str) -> Result<String> {
        let context = Context::current();
        context.response().header("cache-control", control)?;
        Ok("page".to_owned())
    }
}

fn shelf() -> Server {
    let pages = axum::Router::new()
        .route("/page", axum::routing::get(async || "page"))
        .route(
            "/own",
            axum::routing::get(async || ([("cache-control", "public")], "page")),
        );
    let shelf = Server::new("shelf").trust(Trust::Edge).http(pages);
    shelf.add(ProfilesServer::new(Shelf))
}

fn shelf_with_users() -> Server {
    let users = BearerAuth::new(|token| async move {
        Ok((token.expose() == "t-bob").then(|| Principal::new("bob")))
    });
    let shelf = shelf().authenticate(users);
    let shelf = shelf.allow_anonymous("users.v1.Profiles/Profile");
    shelf.allow_anonymous("http")
}

/// Returns `Cache-Control` and `Vary`, each with all its lines.
fn caching(response: &raw::Response) -> [String; 2] {
    ["cache-control", "vary"].map(|name| {
        let lines = response.headers.iter().filter(|(other, _)| other == name);
        let lines: Vec<_> = lines.map(|(_, value)| value.as_str()).collect();
        lines.join(" | ")
    })
}

const BOB: &[(&str, &str)] = &[("authorization", "Bearer t-bob")];
const LINK: &str = "/users.v1.Profiles/Profile?encoding=json&message={}";
const BOTH: &str = "accept-encoding, authorization";

#[tokio::test]
async fn a_response_to_a_user_is_private() {
    let running = Running::start(shelf_with_users()).await;
    let mut raw = Raw::connect(running.address()).await;
    for (path, lines, status, cache, vary) in [
        ("/profile", BOB, 200, "private", BOTH),
        (LINK, BOB, 200, "private", BOTH),
        ("/missing", BOB, 404, "private", BOTH),
        (
            "/cached?control=max-age%3D60",
            BOB,
            200,
            "max-age=60 | private",
            BOTH,
        ),
        ("/cached?control=public", BOB, 200, "public", BOTH),
        (
            "/cached?control=no-store",
            BOB,
            200,
            "no-store",
            "accept-encoding",
        ),
        ("/page", BOB, 200, "private", "authorization"),
        ("/own", BOB, 200, "public", "authorization"),
        ("/nothing", BOB, 404, "private", "authorization"),
        // The same path has another response for a user.
        ("/profile", &[], 200, "", BOTH),
        (LINK, &[], 200, "", BOTH),
        ("/missing", &[], 401, "", BOTH),
        ("/page", &[], 200, "", "authorization"),
    ] {
        let response = raw.ask(request("GET", path, lines, b"")).await;
        assert_eq!(response.status, status, "{path} {lines:?}");
        assert_eq!(caching(&response), [cache, vary], "{path} {lines:?}");
    }
    let post = raw
        .ask(post_with("/users.v1.Profiles/Profile", BOB, "{}"))
        .await;
    assert_eq!(
        (post.status, caching(&post)),
        (200, [String::new(), String::new()])
    );
}

#[tokio::test]
async fn a_user_of_a_layer_is_not_for_caches() {
    async fn set(request: Request, next: Next) -> Result<Response> {
        request.context().set_principal(Principal::new("ada"))?;
        Ok(next.run(request).await)
    }

    async fn scoped(request: Request, next: Next) -> Result<Response> {
        let context = request.context().with_principal(Principal::new("ada"))?;
        Ok(context.scope(next.run(request)).await)
    }

    async fn replaced(mut request: Request, next: Next) -> Result<Response> {
        let job = Context::for_request(rpc_runtime::RequestId::random());
        request.set_context(job.with_principal(Principal::new("ada"))?);
        Ok(next.run(request).await)
    }

    for server in [
        shelf().layer(set),
        shelf().layer(scoped),
        shelf().layer(replaced),
    ] {
        let running = Running::start(server).await;
        let mut raw = Raw::connect(running.address()).await;
        let response = raw.ask(request("GET", "/profile", &[], b"")).await;
        assert_eq!(response.value(), (200, serde_json::json!("ada [] ")));
        assert_eq!(caching(&response), ["private", BOTH]);
    }
    // Without users nothing is added.
    let running = Running::start(shelf()).await;
    let mut raw = Raw::connect(running.address()).await;
    for (path, vary) in [("/profile", "accept-encoding"), ("/page", "")] {
        let response = raw.ask(request("GET", path, &[], b"")).await;
        assert_eq!(caching(&response), ["", vary], "{path}");
    }
}
