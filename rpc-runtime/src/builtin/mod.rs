//! What every service answers without being asked to.

mod ping;

pub use ping::Pong;
pub use ping::ping_descriptor;
pub(crate) use ping::{PONG, ping_method, ping_route};
