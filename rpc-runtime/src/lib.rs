//! Debuggable, production-ready RPC.
pub mod context;
pub mod descriptor;
pub mod error;
pub mod metadata;
pub mod middleware;
pub mod registry;
pub mod secret;
pub mod streaming;

pub use context::{Context, Source};
pub use error::{Code, Error, Remote, Result, RpcError};
pub use metadata::{InvalidMetadata, Metadata};
pub use secret::Secret;
pub use streaming::Streaming;
#[doc(hidden)]
pub mod __private { pub use std::format; }
