//! What every service answers without being asked to.

mod ping;
mod seconds;
pub mod status;

pub use ping::Pong;
pub use ping::ping_descriptor;
pub(crate) use ping::{PONG, ping_method, ping_route};
pub(crate) use status::{DroppedLogs, status_routes};
