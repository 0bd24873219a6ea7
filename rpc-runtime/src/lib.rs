//! Debuggable, production-ready RPC: annotate a trait, get a microservice.
//!
//! Start with [`rpc_service`], which says what becomes of a trait, and the [`prelude`]. Then, as you need them:
//!
//! | | |
//! | --- | --- |
//! | [`Server`], [`Limits`], [`RateLimit`] | what answers, and what it takes at most |
//! | [`Trust`], [`IdentityKeys`], [`Policy`] | whom it believes, how services know each other, who may call what |
//! | [`Client`], [`Call`] | where calls go, and what one call may be told |
//! | [`RetryPolicy`], [`discovery`] | what is tried again, and which of several servers gets it |
//! | [`idempotency`] | calls that run once, however often they are sent |
//! | [`Context`] | request id, deadline, caller: what travels by itself |
//! | [`Error`], [`Remote`], [`RpcError`](macro@RpcError) | errors that say what happened, and where |
//! | [`middleware`], [`observe`] | rings around calls; everything that counts and logs them |
//! | [`logs`] | how the log of every server gets to the place where all logs are |
//! | [`status`] | what every server tells of itself: version, uptime, numbers of each method |
//! | [`flags`], [`flag_service`] | settings that a program declares and its operators change |
//! | [`faults`] | calls that fail on purpose |
//! | [`registry`] | all services that are linked into this process |
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
        reason = "each side uses only a part of what both share"
    )
)]

// So that the runtime, its tests and the expansion name it alike.
#[allow(unused_extern_crates, reason = "the lint does not see macros")]
extern crate self as rpc_runtime;

// Ring 0: words.
pub mod backoff;
pub mod context;
pub mod descriptor;
mod duration;
pub mod error;
pub mod faults;
pub mod flags;
#[cfg(feature = "_wire")]
mod identity;
#[cfg(not(feature = "_wire"))]
#[path = "identity/absent.rs"]
mod identity;
pub mod metadata;
mod request_id;
pub mod secret;
mod sync;
mod text;

// Ring 1: the wire.
mod codec;
#[cfg(feature = "_wire")]
mod compression;
#[cfg(feature = "_wire")]
mod protocol;

// Ring 2: a call.
#[cfg(feature = "client")]
pub mod discovery;
mod method;
#[cfg(feature = "_wire")]
pub mod middleware;
#[cfg(feature = "_wire")]
pub mod observe;
pub mod registry;
mod streaming;

// Ring 4: the two ends. (Ring 3, the windows, comes with a later version.)
mod builtin;
#[cfg(feature = "client")]
pub mod client;
#[cfg(all(feature = "client", feature = "server"))]
mod local;
pub mod logs;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "_wire")]
mod spawn;
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
#[cfg(feature = "client")]
pub use client::{Call, Client, Reply, RetryPolicy};
pub use codec::json::{BigNum, Bytes};
pub use context::handle::Context;
pub use context::source::Source;
pub use error::{Code, Error, Hop, Remote, Result, RpcError};
pub use flags::{Flag, Flags};
#[cfg(feature = "_wire")]
pub use identity::IdentityKeys;
pub use metadata::{InvalidMetadata, Metadata};
pub use request_id::RequestId;
pub use secret::Secret;
#[cfg(feature = "server")]
pub use server::idempotency;
#[cfg(feature = "server")]
pub use server::{Callers, Limits, Policy, RateLimit, Server, Trust};
#[cfg(feature = "_wire")]
pub use spawn::{spawn, spawn_blocking};
pub use streaming::Streaming;

/// What a service and its callers need: `use rpc_runtime::prelude::*;`.
pub mod prelude {
    #[cfg(feature = "client")]
    pub use crate::Call;
    #[cfg(feature = "server")]
    pub use crate::Server;
    pub use crate::{Code, Context, Error, Remote, Result, RpcError, Streaming, fail, rpc_service};
}
