//! Flags: typed and documented settings that a program declares and its operators change. Each
//! server has its own values.
//!
//! ```
//! rpc_runtime::flag! {
//!     /// The largest n that is computed.
//!     pub static LARGEST_N: u64 = 1_000_000, dynamic, validate = range(1..=10_000_000);
//! }
//!
//! let server = rpc_runtime::Server::new("worker").flag(&LARGEST_N, 500);
//! assert_eq!(server.flags().get(&LARGEST_N), 500);
//! // Outside a call a flag has its default.
//! assert_eq!(LARGEST_N.get(), 1_000_000);
//! ```
//!
//! The value comes from the last source in this table that sets it. A change in an earlier source
//! then has no effect, which is logged.
//!
//! | source | how | when |
//! | --- | --- | --- |
//! | default | the declaration | |
//! | program | [`Server::flag`](crate::Server::flag) | before the server starts |
//! | file | `--flags-file FILE`, `RPC_FLAGS_FILE`, [`Server::flags_file`](crate::Server::flags_file) | at start; dynamic flags when the file changes |
//! | environment | `RPC_FLAG_LARGEST_N=500` | at start |
//! | command line | `--flag largest_n=500` | at start |
//! | run time | [`Flags::set`], `rpc.v1.Flags` ([`crate::flag_service`]) | dynamic flags at any time, others until the server starts |
//!
//! An invalid setting (an unknown flag, a value of another type or one that the validator rejects,
//! a flag that is not dynamic in a running server) changes nothing. At start it stops the program;
//! later it is an error and a warning in the log. Each change is logged with the target
//! `rpc.audit`: the flag, the old and new value, and the author.
//!
//! A flags file has one `name = value` per line. Lines that start with `#` are comments. Blanks
//! around the value are ignored; otherwise it has the form of the command line. The last line must
//! end with a line feed, because without one the file may be incomplete. The file is read twice a
//! second and applied when two consecutive reads are equal. If a line is invalid, nothing is
//! applied. A flag that is removed from the file gets the value of the next lower source. A flag
//! that is not dynamic changes at the next start. A missing file changes nothing.

mod actor;
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

pub use actor::Actor;
pub use builtin::LOG_RPC;
pub(crate) use declare::Flag;
pub use declare::{AnyFlag, Registration, lower_case};
#[cfg(feature = "_fuzz")]
pub(crate) use file::FlagsFile;
pub(crate) use file::{Reading, read as read_file};
pub use info::{FlagInfo, FlagOrigin};
pub use notify::WatchGuard;
pub(crate) use registry::check;
pub(crate) use set::Flags;
pub use validate::{Validator, not_empty, one_of, range};
pub use value::{Codec, Fallback, FlagValue, Specialize};

/// The maximum size of a value as text, in bytes.
pub const VALUE_LIMIT: usize = 64 << 10;

/// The maximum size of a name, in bytes.
pub const NAME_LIMIT: usize = 64;

#[cfg(test)]
mod tests;
