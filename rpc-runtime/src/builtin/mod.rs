//! What every service answers without being asked to.

pub mod flags;
mod ping;
mod serde_duration;
pub mod status;

pub use flags as flag_service;
pub(crate) use flags::flag_routes;
pub use ping::Pong;
pub use ping::ping_descriptor;
pub(crate) use ping::{PONG, ping_method, ping_route};
pub(crate) use status::{DroppedLogs, status_routes};
