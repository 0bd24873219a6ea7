//! The implementations that a server adds.

mod flags;
mod ping;
mod status;

pub(crate) use flags::server_flag_service;
pub(crate) use ping::ping_handler;
pub(crate) use status::{DroppedLogs, status_service};
