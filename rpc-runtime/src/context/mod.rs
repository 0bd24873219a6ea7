//! Values that travel with a call: request ID, caller, deadline, environment, trace, baggage, hop
//! count.
//!
//! Depends on `error`, `faults`, `flags` and `identity`; none of them depends on this module.

mod baggage;
mod builder;
mod error_chain;
mod executed;
mod extended;
mod extensions;
pub(crate) mod handle;
mod peer;
mod principal;
mod progress;
mod propagated;
mod received;
mod response;
mod scope;
mod server_info;
pub(crate) mod shutdown;
pub(crate) mod source;
mod stopping;
mod trace;
mod user;

pub use baggage::{BAGGAGE_LIMIT, Baggage};
pub(crate) use builder::ContextBuilder;
pub(crate) use handle::Context;
use handle::ContextInner;
pub use peer::PeerCertificate;
pub(crate) use peer::PeerInfo;
pub use principal::{PRINCIPAL_LIMIT, Principal};
use progress::Progress;
pub(crate) use propagated::Propagated;
pub use response::ResponseMetadata;
pub use scope::Scoped;
pub(crate) use server_info::{ClientMetricsRecorder, ServerInfo};
pub(crate) use shutdown::{ServerWork, Shutdown};
pub use source::InvalidSource;
pub(crate) use source::Source;
pub use trace::TraceContext;

pub(crate) use crate::request_id::RequestId;

/// The most services that a request may pass. A request that has passed more is rejected as a loop.
pub const HOP_COUNT_LIMIT: u32 = 16;

/// The environment of a process for which none is configured.
pub const DEFAULT_ENVIRONMENT: &str = "prod";

#[cfg(test)]
mod tests;
