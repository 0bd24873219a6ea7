//! Settings that a program declares where it needs them, and that whoever runs it can change: typed, described, and with
//! a value for each server.
//!
//! ```
//! rpc_runtime::flag! {
//!     /// The largest n that is computed.
//!     pub static LARGEST_N: u64 = 1_000_000, dynamic, validate = range(1..=10_000_000);
//! }
//!
//! let server = rpc_runtime::Server::new("worker").flag(&LARGEST_N, 500);
//! assert_eq!(server.flags().get(&LARGEST_N), 500);
//! // Outside of a call there is no server to ask.
//! assert_eq!(LARGEST_N.get(), 1_000_000);
//! ```
//!
//! Where a value comes from. A later row wins, and a change further up in the table takes nothing from it; the log says
//! so.
//!
//! | source | how | when |
//! | --- | --- | --- |
//! | default | the declaration | |
//! | program | [`Server::flag`](crate::Server::flag) | before the server starts |
//! | file | `--flags-file FILE`, `RPC_FLAGS_FILE`, [`Server::flags_file`](crate::Server::flags_file) | at start; dynamic flags whenever it changes |
//! | environment | `RPC_FLAG_LARGEST_N=500` | at start |
//! | command line | `--flag largest_n=500` | at start |
//! | run time | [`Flags::set`], `rpc.v1.Flags` ([`crate::flag_service`]) | dynamic flags at any time, others until the server starts |
//!
//! What is refused (no such flag, not of its type, not what its validator takes, too late for one that is not dynamic)
//! changes nothing: at start it ends the start, later it is an error and a warning in the log. Each change is an event
//! with the target `rpc.audit`: which flag, from what, to what, by whom.
//!
//! A flags file has a `name = value` a line, and `#` starts a line of comment. The value is what stands behind the `=`
//! without the blanks around it, in the form in which it stands on a command line. Each line ends with a line feed, so
//! that a file that is half written is known for it. The file is read twice a second, and what it says is applied when
//! two readings in a row agree: all of it, or nothing where a line is refused. What a file no longer names falls back
//! to the source before. A flag that is not dynamic takes its new value at the next start. A file that is gone changes
//! nothing.

mod builtin;
mod cell;
pub(crate) mod declare;
mod file;
mod info;
mod notify;
mod registry;
pub(crate) mod set;
mod validate;
mod value;

pub use builtin::LOG_RPC;
pub(crate) use declare::Flag;
pub use declare::{AnyFlag, Registration, lower_case};
pub(crate) use file::{Reading, read as read_file};
pub use info::{FlagInfo, Origin};
pub use notify::WatchGuard;
pub(crate) use registry::check;
pub(crate) use set::Flags;
pub use validate::{Validator, not_empty, one_of, range};
pub use value::{Codec, Fallback, FlagValue, Specialize};

/// The longest text of a value, in bytes.
pub const VALUE_LIMIT: usize = 64 << 10;

/// The longest name, in bytes.
pub const NAME_LIMIT: usize = 64;

#[cfg(test)]
mod tests;
