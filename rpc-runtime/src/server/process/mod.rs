//! The lifecycle of a server: binding, serving, stopping, and what `Server::run` adds for a
//! process.

mod addresses;
mod background;
mod bind;
pub(crate) mod bound;
pub(crate) mod config;
pub(crate) mod flags_file;
pub(crate) mod lifecycle;
pub(crate) mod log;
pub(crate) mod log_filter;
#[cfg(feature = "testing")]
mod loopback;
mod reload;
mod run;
pub(crate) mod signals;
mod stall_detector;
pub(crate) mod tasks;
mod tls_files;
mod watch_files;
