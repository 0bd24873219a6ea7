//! A server process: from a configured server to a bound, serving and drained one.

pub(crate) mod bind;
pub(crate) mod bound;
pub(crate) mod flags_file;
pub(crate) mod lifecycle;
mod reload;
pub(crate) mod run;
mod signals;
mod stall_detector;
