//! Services that every server has: `Ping`, `rpc.v1.Status` and `rpc.v1.Flags`.

pub mod flags;
mod ping;
mod serde_duration;
pub mod status;

pub use flags as flag_service;
pub(crate) use flags::server_flag_service;
pub use ping::Pong;
pub use ping::ping_descriptor;
pub(crate) use ping::{PONG, ping_handler, ping_method};
pub(crate) use status::{DroppedLogs, status_service};
