//! Debuggable, production-ready RPC: annotate a trait, get a microservice.
//!
//! Start with [`rpc_service`], which documents what the macro makes of a trait, and the
//! [`prelude`]. Then see:
//!
//! | | |
//! | --- | --- |
//! | [`Server`], [`Limits`], [`RateLimit`] | a server and its resource limits |
//! | [`ProcessSignals`] | the signals that stop a process, for programs with more than a server |
//! | [`Trust`], [`IdentityKeys`], [`Policy`] | authentication of services, and which caller may call which method |
//! | [`Client`], [`Call`] | clients, and the options of a single call |
//! | [`RetryPolicy`], [`discovery`], [`backoff`] | retries, and load balancing over several servers |
//! | [`authentication`] | users: passwords, tokens, client certificates |
//! | [`idempotency`] | idempotency keys: a repeated call runs once |
//! | [`Context`] | request ID, deadline, caller: what travels with a call |
//! | [`Error`], [`Remote`], [`RpcError`](macro@RpcError) | errors, and the services that they passed |
//! | [`middleware`], [`observe`] | layers around calls; metrics and logs of calls |
//! | [`logs`] | the export of log records to a log sink |
//! | [`status`] | the status of every server: version, uptime, metrics of each method |
//! | [`flags`], [`flag_service`] | settings that a program declares and its operators change |
//! | [`faults`] | fault injection |
//! | [`files`] | files that only this user can write, read up to a limit |
//! | [`text`] | characters that cannot be seen |
//! | [`registry`] | all services that are linked into this process |
//!
//! # Features
//!
//! | | |
//! | --- | --- |
//! | `client`, `server` | on by default: the two sides; without both, only contracts |
//! | `reqwest` | on by default: clients that send by a `reqwest::Client` of the application |
//! | `tls` | TLS listeners and `https` URLs |
//! | `jwt` | users by JSON Web Tokens |
//! | `dns` | addresses of servers by SRV records |
//! | `otel` | spans of calls, and their export over OTLP |
//! | `testing` | servers, processes and fault injection for tests |
//!
//! ```
//! use rpc_runtime::prelude::*;
//!
//! #[rpc_service]
//! trait Greeter {
//!     async fn greet(&self, name: &str) -> Result<String>;
//! }
//!
//! struct English;
//!
//! impl Greeter for English {
//!     async fn greet(&self, name: &str) -> Result<String> {
//!         Ok(format!("Hello {name}"))
//!     }
//! }
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! assert_eq!(GreeterClient::local(English).greet("Ada").await.unwrap(), "Hello Ada");
//! # });
//! ```

#![cfg_attr(
    not(all(feature = "client", feature = "server")),
    allow(
        dead_code,
        unused_imports,
        reason = "client and server each use only a part of the shared modules"
    )
)]

// Lets the expansion of the macros use the same paths in this crate as elsewhere.
#[allow(
    unused_extern_crates,
    reason = "the lint does not see the use in expanded macros"
)]
extern crate self as rpc_runtime;

// Layer 0: core types.
pub mod backoff;
pub mod context;
pub mod descriptor;
mod duration;
pub mod error;
pub mod faults;
pub mod files;
pub mod flags;
#[cfg(feature = "_wire")]
mod identity;
#[cfg(not(feature = "_wire"))]
#[path = "identity/absent.rs"]
mod identity;
mod metadata;
#[cfg(feature = "server")]
mod option_name;
mod request_id;
mod secret;
mod sync;
pub mod text;

// Layer 1: protocol.
mod codec;
#[cfg(feature = "_wire")]
mod compression;
#[cfg(feature = "_wire")]
mod protocol;
#[cfg(feature = "tls")]
mod tls;

// Layer 2: calls.
#[cfg(feature = "client")]
pub mod discovery;
mod method;
#[cfg(feature = "_wire")]
pub mod middleware;
#[cfg(feature = "_wire")]
pub mod observe;
pub mod registry;
mod streaming;

// Layer 4: client and server. (Layer 3, debug pages, comes with a later version.)
mod builtin;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "_fuzz")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(all(feature = "client", feature = "server"))]
mod local;
pub mod logs;
#[cfg(feature = "otel")]
pub mod otel;
#[cfg(all(feature = "server", not(feature = "otel")))]
#[path = "otel/absent.rs"]
mod otel;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "_wire")]
mod spawn;
#[cfg(feature = "server")]
pub mod stderr;
#[cfg(feature = "testing")]
pub mod testing;

#[doc(hidden)]
pub mod __private;

#[cfg(feature = "server")]
pub use axum;

#[doc = include_str!("docs/rpc_service.md")]
pub use rpc_macros::rpc_service;

#[doc = include_str!("docs/rpc_error.md")]
pub use rpc_macros::RpcError;

pub use builtin::{Pong, flag_service, status};
#[cfg(all(feature = "client", feature = "tls"))]
pub use client::ClientTlsConfig;
#[cfg(feature = "client")]
pub use client::{Call, CallHandle, Client, ClientBuilder, Reply, RetryPolicy};
pub use codec::json::{BigNum, Bytes, JsonText};
#[cfg(feature = "_wire")]
pub use compression::Compression;
pub use context::handle::Context;
pub use context::shutdown::Shutdown;
pub use context::source::Source;
pub use context::{PRINCIPAL_LIMIT, Principal};
pub use error::call_error::{Error, Result};
pub use error::code::Code;
pub use error::hop::Hop;
pub use error::remote::Remote;
pub use error::result_ext::ResultExt;
pub use error::typed::RpcError;
pub use flags::declare::Flag;
pub use flags::set::Flags;
#[cfg(feature = "_wire")]
pub use identity::IdentityKeys;
pub use metadata::{InvalidMetadata, Metadata};
pub use request_id::RequestId;
pub use secret::Secret;
#[cfg(all(feature = "server", unix))]
pub use server::ActivationSocket;
#[cfg(feature = "server")]
#[doc(hidden)]
pub use server::LogFilter;
#[cfg(all(feature = "server", feature = "tls"))]
pub use server::ServerTlsConfig;
#[cfg(feature = "server")]
pub use server::{
    Accept, BoundServer, Callers, ConnectionPeer, Cors, HttpAccess, HttpService, LayeredService,
    Limits, ListenOptions, LogFormat, PeerAddress, Policy, PrefixedServerOptions, ProcessSignal,
    ProcessSignals, RateLimit, Server, ServerOptions, Service, TaskOutcome, TlsListeners, Trust,
    foreign_page,
};
#[cfg(feature = "server")]
pub use server::{authentication, env_option, idempotency};
#[cfg(feature = "_wire")]
pub use spawn::{spawn, spawn_blocking};
pub use streaming::Streaming;
#[cfg(feature = "_wire")]
pub use streaming::{StreamClosed, StreamSender};

/// The items that most services and clients use: `use rpc_runtime::prelude::*;`.
pub mod prelude {
    #[cfg(feature = "client")]
    pub use crate::Call;
    pub use crate::ResultExt as _;
    #[cfg(feature = "server")]
    pub use crate::Server;
    #[cfg(feature = "server")]
    pub use crate::Service as _;
    pub use crate::{Code, Context, Error, Remote, Result, RpcError, Streaming, fail, rpc_service};
}
