//! The lifecycle of a server: binding, serving, stopping, and what `Server::run` adds for a
//! process.

pub(crate) mod bind;
pub(crate) mod bound;
pub(crate) mod flags_file;
pub(crate) mod lifecycle;
mod reload;
pub(crate) mod run;
mod signals;
mod stall_detector;
