//! Debuggable, production-ready RPC: annotate a trait, get a microservice.
//!
//! # The rings
//!
//! Imports go only downwards; `tests/it/architecture.rs` says so.

// So that the runtime, its tests and the expansion name it alike.
#[allow(unused_extern_crates, reason = "the lint does not see macros")]
extern crate self as rpc_runtime;

// Ring 0: words.
pub mod context;
pub mod descriptor;
pub mod error;
pub mod metadata;
pub mod secret;

// Ring 1: the wire.
mod codec;
mod compression;
mod protocol;

// Ring 2: a call.
mod method;
pub mod middleware;
pub mod observe;
pub mod registry;
pub mod streaming;

// Ring 4: the two ends. (Ring 3, the windows, comes with a later version.)
mod builtin;
pub mod client;
mod local;
pub mod server;
mod spawn;

#[doc(hidden)]
pub mod __private;

pub use axum;

#[doc = include_str!("docs/rpc_service.md")]
pub use rpc_macros::rpc_service;

#[doc = include_str!("docs/rpc_error.md")]
pub use rpc_macros::RpcError;

pub use builtin::Pong;
pub use client::{Call, Client, Reply};
pub use codec::json::{BigNum, Bytes};
pub use context::{Context, RequestId, Source};
pub use error::{Code, Error, Hop, Remote, Result, RpcError};
pub use metadata::{InvalidMetadata, Metadata};
pub use secret::Secret;
pub use server::{Limits, Server, Trust};
pub use spawn::{spawn, spawn_blocking};
pub use streaming::Streaming;

/// What a service and its callers need: `use rpc_runtime::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Call, Code, Context, Error, Remote, Result, RpcError, Server, Streaming, fail, rpc_service,
    };
}
