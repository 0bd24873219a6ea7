//! Services that every server has: `Ping`, `rpc.v1.Status` and `rpc.v1.Flags`.

pub mod flags;
mod ping;
mod serde_duration;
#[cfg(feature = "server")]
mod server;
pub mod status;

pub use flags as flag_service;
pub(crate) use ping::{PONG, ping_method};
pub use ping::{Pong, ping_descriptor};
#[cfg(feature = "server")]
pub(crate) use server::{DroppedLogs, ping_handler, server_flag_service, status_service};
