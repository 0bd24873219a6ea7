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
//! nothing: path, HTTP method, web page, user, limits of the user, number, key, body, purchase. A
//! body is read to its end and ignored.

mod body;
mod buyers;
mod login;
mod login_slots;
mod page;
mod purchase;
mod queues;
mod response;

use std::sync::Arc;
use std::time::Duration;

use rpc_runtime::axum::Router;
use rpc_runtime::axum::body::Body;
use rpc_runtime::axum::extract::{Request, State};
use rpc_runtime::axum::http::header::ALLOW;
use rpc_runtime::axum::http::{HeaderValue, Method, StatusCode, request::Parts};
use rpc_runtime::axum::response::Response;
use rpc_runtime::{Code, Context, PeerAddress};
use tokio::time::timeout;

use self::buyers::{Buyers, RequestCost, UserRequest};
use self::login_slots::{LoginSlots, PeerKey};
use self::purchase::{NoKey, PurchaseKey};
use self::queues::QueueFull;
use self::response::{ErrorResponse, Format, NumberResponse};
use crate::api::compute_worker::DEFAULT_LARGEST_N;
use crate::api::controller::ControllerClient;
use crate::api::userstore::{User, UserStoreClient, UserStoreError};
use crate::login_cache::LoginCache;
use crate::number;
use crate::service::event_log::EventLog;
use crate::service::normal::nfc;

/// Methods allowed for a number.
const METHODS: &str = "GET, HEAD, POST";

/// Time that is kept for the response, so that it has the key of the purchase; at most a tenth of
/// the remaining time.
const TIME_TO_RESPOND: Duration = Duration::from_millis(100);

/// Time that a purchase may take; that of `Controller::generate`.
const TIME_TO_SELL: Duration = Duration::from_secs(20);

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
    requires_key: bool,
    slots: LoginSlots,
    buyers: Buyers,
    failed_logins: EventLog<PeerKey>,
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
            requires_key: false,
            slots: LoginSlots::new(),
            buyers: Buyers::new(),
            failed_logins: EventLog::new("failed logins", |peer| format!("from {peer}")),
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

    /// Refuses purchases without an `Idempotency-Key`. Clients that repeat a lost `GET` by
    /// themselves then pay once.
    #[must_use]
    pub fn require_key(mut self, requires_key: bool) -> Self {
        self.requires_key = requires_key;
        self
    }

    /// Returns the routes, for [`Server::http`](rpc_runtime::Server::http).
    pub fn into_routes(self) -> Router {
        // Not routes of axum: axum decodes `%31` to `1`, and handles HEAD like GET.
        Router::new().fallback(handle).with_state(Arc::new(self))
    }

    async fn serve(&self, head: &Parts, body: Body) -> Result<NumberResponse, ErrorResponse> {
        let text = number_in_path(head.uri.path()).ok_or_else(ErrorResponse::no_such_path)?;
        check_method(&head.method)?;
        page::check(head)?;
        let user = self.login(head).await?;
        login::set_user(&user).map_err(|error| ErrorResponse::of_user(&error))?;
        let order = self.order(head, text);
        let request = self.buyers.begin(&user.username).map_err(|retry_after| {
            let refused = ErrorResponse::too_many_of_user(retry_after);
            match &order {
                Ok(Some((_, key))) => refused.with_key(key),
                _ => refused,
            }
        })?;
        let outcome = match order {
            Ok(Some((n, key))) => self.sell(&request, &user, n, key, head, body).await,
            Ok(None) => Ok(NumberResponse::NoCharge),
            Err(refusal) => {
                let (path, why) = (number::quote(head.uri.path()), refusal.text());
                tracing::warn!("Request to {path} resulted in {why}");
                Err(refusal)
            }
        };
        request.end(cost_of(&outcome));
        outcome
    }

    /// Sells a number. Each response has the key of the purchase.
    async fn sell(
        &self,
        request: &UserRequest<'_>,
        user: &User,
        n: u64,
        key: PurchaseKey,
        head: &Parts,
        body: Body,
    ) -> Result<NumberResponse, ErrorResponse> {
        let name = &user.username;
        let beginning = async {
            body::read(&head.headers, body).await?;
            let turn = request.turn().await;
            turn.map_err(|QueueFull| ErrorResponse::too_many_of_user(Duration::ZERO))
        };
        let selling = async {
            let begun = timeout(time_left(), beginning).await;
            let _turn = begun.unwrap_or_else(|_| Err(ErrorResponse::not_begun(n)))?;
            // Escaped: a user name may contain characters that would forge a log line.
            tracing::info!("User {name:?} requested fib({n})");
            let sale = self.controller.generate(name, n, &key.of(name, n));
            let sold = sale.timeout(time_left().min(TIME_TO_SELL)).await;
            sold.map_err(|error| ErrorResponse::of_purchase(&error, n, &key))
        };
        match selling.await {
            Ok(mut sold) => {
                // A key that was generated for this request is that of no purchase before it.
                sold.replayed &= key.is_callers();
                Ok(NumberResponse::Sold(sold, key))
            }
            Err(failed) => Err(failed.with_key(&key)),
        }
    }

    async fn login(&self, head: &Parts) -> Result<User, ErrorResponse> {
        let login = login::read(&head.headers).ok_or_else(ErrorResponse::unauthenticated)?;
        let known = self.known.as_ref().map(|known| {
            let digest = known.digest(&login.username, login.password.expose(), "");
            (known, digest)
        });
        let is_known = known.is_some_and(|(known, digest)| known.age(&digest).is_some());
        let address = head.extensions.get::<PeerAddress>().map(|peer| peer.0.ip());
        let peer = PeerKey::new(address);
        let verify = self.userstore.verify(&login.username, login.password);
        let verified = if is_known {
            verify.await
        } else {
            let slot = self.slots.enter(peer, &login.username).await;
            let slot = slot.map_err(|QueueFull| ErrorResponse::too_many_logins())?;
            self.slots.run(slot, verify.into_future()).await
        };
        let user = verified.map_err(|error| {
            if matches!(*error, UserStoreError::WrongCredentials) {
                self.slots.was_wrong(&login.username);
                // Without the name, which may be a password in the wrong field.
                if self.failed_logins.record(&peer, &nfc(&login.username)) {
                    let peer = address.map(tracing::field::display);
                    tracing::warn!(peer, "a login failed: wrong user name or password");
                }
            }
            ErrorResponse::of_login(&error)
        })?;
        if let Some((known, digest)) = known {
            known.insert(digest);
        }
        Ok(user)
    }

    /// Returns the requested number and the key of the purchase; `None` if the request is valid and
    /// buys nothing.
    fn order(&self, head: &Parts, text: &str) -> Result<Option<(u64, PurchaseKey)>, ErrorResponse> {
        if let Some(query) = head.uri.query() {
            let query = number::quote(query);
            return Err(ErrorResponse::invalid(format!(
                "this route takes no query parameters (got {query})"
            )));
        }
        let n = number::parse(text, self.largest_n)
            .map_err(|bad| ErrorResponse::invalid(bad.to_string()))?;
        let buys = head.method != Method::HEAD && !purchase::is_prefetch(&head.headers);
        let key = match PurchaseKey::read(&head.headers) {
            Err(NoKey::Missing) if !buys => return Ok(None),
            Err(NoKey::Missing) if self.requires_key => return Err(ErrorResponse::key_required()),
            Err(NoKey::Missing) => PurchaseKey::random().map_err(ErrorResponse::invalid)?,
            Err(NoKey::Invalid(why)) => return Err(ErrorResponse::invalid(why)),
            Ok(key) => key,
        };
        Ok(buys.then_some((n, key)))
    }
}

async fn handle(State(gatekeeper): State<Arc<Gatekeeper>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let form = Format::from_accept(&head.headers);
    form.write(gatekeeper.serve(&head, body).await)
}

/// Returns what a request takes of the allowance of its user.
fn cost_of(outcome: &Result<NumberResponse, ErrorResponse>) -> RequestCost {
    match outcome {
        Ok(NumberResponse::Sold(..)) => RequestCost::Nothing,
        // A short deadline is like a closed connection: the services did work that is not wanted.
        Err(failed) if failed.is_late() && Context::current().has_caller_deadline() => {
            RequestCost::Abandoned
        }
        Err(failed) if failed.is_server_error() => RequestCost::Nothing,
        _ => RequestCost::Free,
    }
}

/// Returns the time until a response must be ready.
fn time_left() -> Duration {
    let left = Context::current().remaining().unwrap_or(Duration::MAX);
    left - TIME_TO_RESPOND.min(left / 10)
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
