//! The way of a server's log to the place where all logs are.

mod intake;
mod record;

pub use intake::{Logs, LogsClient, LogsServer};
pub use record::{Level, Record};
