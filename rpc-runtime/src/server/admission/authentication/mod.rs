//! Authentication of users: who a call at an edge listener runs for.
//!
//! [`Server::authenticate`](crate::Server::authenticate) adds an [`Authenticator`]. It runs for
//! every call at an edge listener, and for plain HTTP routes there, after the limits of the server
//! and before the policy. The user that it returns is the [`Principal`] of the call:
//!
//! - a handler gets it from [`Context::principal`](crate::Context::principal);
//! - the calls that the handler makes carry it on;
//! - policies ([`Callers::roles`](crate::Callers::roles)), rate limits and idempotency keys go by
//!   it.
//!
//! Calls without valid credentials are refused with `unauthenticated` (HTTP 401 and
//! `WWW-Authenticate`), except of the methods that
//! [`Server::allow_anonymous`](crate::Server::allow_anonymous) names. Built-in methods, such as
//! `Ping`, need no credentials. At an internal listener no authenticator runs: its callers are
//! services, which send the user of their own call. Only a plain route that such a listener without
//! keys serves to other hosts ([`HttpAccess::Public`](crate::HttpAccess::Public)) needs one.
//!
//! At most a quarter of [`Limits::running_calls`](crate::Limits::running_calls) are authenticated
//! at once, each for at most 5 s. A peer that has sent too many wrong credentials
//! ([`Limits::wrong_credentials_per_peer`](crate::Limits::wrong_credentials_per_peer)) is refused
//! with `resource_exhausted` until it may try again, also with the right ones. Its calls without
//! credentials are served.
//!
//! ```
//! use rpc_runtime::authentication::BearerAuth;
//! use rpc_runtime::prelude::*;
//! use rpc_runtime::Principal;
//!
//! #[rpc_service]
//! trait Greeter {
//!     async fn greet(&self) -> Result<String>;
//! }
//!
//! struct English;
//!
//! impl Greeter for English {
//!     async fn greet(&self) -> Result<String> {
//!         let Some(user) = Context::current().principal() else {
//!             fail!(Code::Unauthenticated, "who are you?");
//!         };
//!         Ok(format!("Hello {}", user.subject()))
//!     }
//! }
//!
//! // In production the token is looked up in a store, or verified.
//! let tokens = BearerAuth::new(|token| async move {
//!     Ok((token.expose() == "t-1").then(|| Principal::new("alice").with_role("operator")))
//! });
//! let server = Server::new("greeter")
//!     .listen_edge("127.0.0.1:8080")
//!     .authenticate(tokens)
//!     .add(GreeterServer::new(English));
//! # drop(server);
//! ```

mod basic;
mod bearer;
mod certificate;
#[cfg(feature = "jwt")]
mod jwt;
mod stage;
mod wrong_credentials;

pub use basic::BasicAuth;
pub use bearer::BearerAuth;
pub use certificate::CertificateAuth;
#[cfg(feature = "jwt")]
pub use jwt::{JwtAuth, JwtKey, JwtKeys};
pub(crate) use stage::{Authentication, Refused, Required};

use crate::context::{Context, Principal};
use crate::error::Result;
use crate::middleware::BoxFuture;

/// The metadata that browsers, caches and proxies add to a call, and that has no credentials.
const WITHOUT_CREDENTIALS: [&str; 16] = [
    "cache-control",
    "dnt",
    "forwarded",
    "if-modified-since",
    "if-none-match",
    "origin",
    "pragma",
    "priority",
    "referer",
    "upgrade-insecure-requests",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Authenticates the user of a call by its credentials.
///
/// [`BasicAuth`] and [`BearerAuth`] take the usual header, and so does `JwtAuth` with the feature
/// `jwt`. [`CertificateAuth`] takes client certificates. Implement this trait for others.
pub trait Authenticator: Send + Sync + 'static {
    /// Returns the user whose credentials the metadata of a call has; `None` if it has no
    /// credentials for this authenticator, so that the next one is asked.
    ///
    /// Runs in the context of the call: the calls that it makes have its request ID and deadline.
    ///
    /// # Errors
    ///
    /// `unauthenticated` for wrong credentials. Another error, such as `unavailable`, if they
    /// cannot be checked. The caller receives it as that of the call.
    ///
    /// # Cancellation
    ///
    /// The future is dropped when the caller disconnects or the time for it has passed.
    fn authenticate(&self, context: Context) -> BoxFuture<Result<Option<Principal>>>;

    /// Returns whether a call has credentials that [`authenticate`](Self::authenticate) would
    /// check. Asked only about a peer that has sent too many wrong ones: its calls with credentials
    /// are refused, those without are served as those of any other peer.
    ///
    /// By default a call has some if its caller has a client certificate, or if its metadata is
    /// more than what browsers, caches and proxies add.
    fn has_credentials(&self, context: &Context) -> bool {
        let mut names = context.metadata().iter().map(|(name, _)| name);
        context.own_certificate().is_some()
            || names.any(|name| !WITHOUT_CREDENTIALS.contains(&name))
    }

    /// Returns the challenge that `WWW-Authenticate` has for a caller without credentials, such as
    /// `Bearer`.
    fn challenge(&self) -> Option<String> {
        None
    }
}
