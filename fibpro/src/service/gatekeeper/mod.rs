//! The gatekeeper: the only edge service. Offers plain HTTP to the outside world; all other
//! services are internal.
//!
//! ```text
//! GET /N   with HTTP Basic   → 200 `F(N)`; charges the user
//! POST /N                      the same
//! HEAD /N, or a prefetch     → 204, or the error; never charges
//! ```
//!
//! A request is checked in this order, so that a caller without credentials learns and pays
//! nothing: path, HTTP method, user, number, body, purchase. A body is read to its end and ignored.

mod body;
mod login;
mod login_slots;
mod purchase;
mod response;

use std::sync::Arc;

use rpc_runtime::axum::Router;
use rpc_runtime::axum::body::Body;
use rpc_runtime::axum::extract::{Request, State};
use rpc_runtime::axum::http::header::ALLOW;
use rpc_runtime::axum::http::{HeaderValue, Method, StatusCode, request::Parts};
use rpc_runtime::axum::response::Response;
use rpc_runtime::{Code, PeerAddress};

use self::login_slots::{LoginSlots, PeerKey, TooManyLogins};
use self::purchase::PurchaseKey;
use self::response::{ErrorResponse, Format, NumberResponse};
use crate::api::compute_worker::DEFAULT_LARGEST_N;
use crate::api::controller::ControllerClient;
use crate::api::userstore::{User, UserStoreClient, UserStoreError};
use crate::login_cache::LoginCache;
use crate::number;

/// Methods allowed for a number.
const METHODS: &str = "GET, HEAD, POST";

/// Sells Fibonacci numbers to the outside world.
///
/// ```
/// use fibpro::api::controller::ControllerClient;
/// use fibpro::api::userstore::UserStoreClient;
/// use fibpro::service::gatekeeper::Gatekeeper;
/// use rpc_runtime::Server;
///
/// let userstore = UserStoreClient::connect("http://127.0.0.1:9003")?;
/// let controller = ControllerClient::connect("http://127.0.0.1:9006")?;
/// let routes = Gatekeeper::new(userstore, controller).largest_n(10_000).into_routes();
/// let server = Server::new("gatekeeper").listen_edge("127.0.0.1:9001").http(routes);
/// # drop(server);
/// # Ok::<(), rpc_runtime::Error>(())
/// ```
#[derive(Debug)]
pub struct Gatekeeper {
    userstore: UserStoreClient,
    controller: ControllerClient,
    largest_n: u64,
    slots: LoginSlots,
    /// Logins that succeeded lately: they do not wait for a slot. `None` without random bytes.
    known: Option<LoginCache>,
}

impl Gatekeeper {
    /// Creates a gatekeeper with these clients, for `n` up to 1,000,000.
    #[must_use]
    pub fn new(userstore: UserStoreClient, controller: ControllerClient) -> Self {
        Self {
            userstore,
            controller,
            largest_n: DEFAULT_LARGEST_N,
            slots: LoginSlots::new(),
            known: LoginCache::new()
                .inspect_err(|error| tracing::warn!("all logins wait in one queue: {error}"))
                .ok(),
        }
    }

    /// Sets the largest `n` that is sold.
    #[must_use]
    pub fn largest_n(mut self, largest_n: u64) -> Self {
        self.largest_n = largest_n;
        self
    }

    /// Returns the routes, for [`Server::http`](rpc_runtime::Server::http).
    pub fn into_routes(self) -> Router {
        // Not routes of axum: axum decodes `%31` to `1`, and handles HEAD like GET.
        Router::new().fallback(handle).with_state(Arc::new(self))
    }

    async fn serve(&self, head: &Parts, body: Body) -> Result<NumberResponse, ErrorResponse> {
        let path = head.uri.path();
        let text = number_in_path(path).ok_or_else(ErrorResponse::no_such_path)?;
        check_method(&head.method)?;
        let user = self.login(head).await?;
        let (n, key) = self.order(head, text).inspect_err(|refusal| {
            tracing::warn!(
                "Request to {} resulted in {}",
                number::quote(path),
                refusal.text()
            );
        })?;
        if head.method == Method::HEAD || purchase::is_prefetch(&head.headers) {
            return Ok(NumberResponse::NoCharge);
        }
        body::read(&head.headers, body).await?;
        // Escaped: a user name may contain characters that would forge a log line.
        tracing::info!("User {:?} requested fib({n})", user.username);
        let name = &user.username;
        let bought = self.controller.generate(name, n, &key.of(name, n)).await;
        match bought {
            Ok(sold) => Ok(NumberResponse::Sold(sold)),
            Err(error) => Err(ErrorResponse::of_purchase(&error, n).with_key(&key)),
        }
    }

    async fn login(&self, head: &Parts) -> Result<User, ErrorResponse> {
        let login = login::read(&head.headers).ok_or_else(ErrorResponse::unauthenticated)?;
        let known = self.known.as_ref().map(|known| {
            let digest = known.digest(&login.username, login.password.expose(), "");
            (known, digest)
        });
        let is_known = known.is_some_and(|(known, digest)| known.age(&digest).is_some());
        let verify = self.userstore.verify(&login.username, login.password);
        let verified = if is_known {
            verify.await
        } else {
            let peer = head.extensions.get::<PeerAddress>();
            let peer = PeerKey::new(peer.map(|peer| peer.0.ip()));
            let slot = self.slots.enter(peer, &login.username).await;
            let slot = slot.map_err(|TooManyLogins| ErrorResponse::too_many_logins())?;
            self.slots.run(slot, verify.into_future()).await
        };
        let user = verified.map_err(|error| {
            if matches!(*error, UserStoreError::WrongCredentials) {
                self.slots.was_wrong(&login.username);
            }
            ErrorResponse::of_login(&error)
        })?;
        if let Some((known, digest)) = known {
            known.insert(digest);
        }
        Ok(user)
    }

    /// Returns the requested number and the key of the purchase.
    fn order(&self, head: &Parts, text: &str) -> Result<(u64, PurchaseKey), ErrorResponse> {
        if let Some(query) = head.uri.query() {
            let query = number::quote(query);
            return Err(ErrorResponse::invalid(format!(
                "this route takes no query parameters (got {query})"
            )));
        }
        let n = number::parse(text, self.largest_n)
            .map_err(|bad| ErrorResponse::invalid(bad.to_string()))?;
        let key = PurchaseKey::read(&head.headers).map_err(ErrorResponse::invalid)?;
        Ok((n, key))
    }
}

async fn handle(State(gatekeeper): State<Arc<Gatekeeper>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let form = Format::from_accept(&head.headers);
    form.write(gatekeeper.serve(&head, body).await)
}

/// Returns the part of the path that should be a number. Returns `None` for names of files, which
/// browsers and scanners request on their own.
fn number_in_path(path: &str) -> Option<&str> {
    let text = path.strip_prefix('/')?;
    let is_file = text.contains('.')
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '.');
    (!text.contains('/') && !is_file).then_some(text)
}

fn check_method(method: &Method) -> Result<(), ErrorResponse> {
    if matches!(*method, Method::GET | Method::HEAD | Method::POST) {
        return Ok(());
    }
    let text = format!("this route supports {METHODS}");
    let refusal = ErrorResponse::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, text);
    Err(refusal.with_header(ALLOW, HeaderValue::from_static(METHODS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c05_what_is_an_attempt_at_a_number() {
        for (path, number) in [
            ("/10", Some("10")),
            ("/", Some("")),
            ("/4.5", Some("4.5")),
            ("/-3", Some("-3")),
            ("/abc", Some("abc")),
            ("/%31", Some("%31")),
            ("/favicon.ico", None),
            ("/robots.txt", None),
            ("/.env", None),
            ("/10/", None),
            ("//10", None),
            ("/10/20", None),
            ("/fibpro.v1.UserStore/GetUser", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(number_in_path(path), number, "{path}");
        }
    }
}
