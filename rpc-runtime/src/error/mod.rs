//! Errors: one type for all services, typed enums on top of it, and the chain of services that an
//! error passed.
//!
//! An [`Error`] has two texts. Its [`message`](crate::Error::message) is for the operators of the
//! service, and its [`public_message`](crate::Error::public_message) is for callers.
//! `disclosure.rs` has the rule of what reaches which callers.

pub(crate) mod call_error;
mod chain;
pub(crate) mod code;
mod delivery;
mod disclosure;
mod equality;
mod execution;
mod fail;
pub(crate) mod hop;
mod http_status;
mod origin;
mod payload;
mod place;
pub(crate) mod remote;
pub(crate) mod result_ext;
mod specialize;
#[cfg(feature = "server")]
mod stored;
pub(crate) mod typed;

pub use call_error::{Detail, FieldViolation, PUBLIC_MESSAGE_LIMIT};
pub(crate) use call_error::{Error, Result};
pub use chain::{CHAIN_LIMIT, HOP_LIMIT};
pub(crate) use code::Code;
pub use code::UnknownCode;
pub(crate) use disclosure::{fingerprint, fingerprint_of};
pub(crate) use execution::Execution;
pub(crate) use hop::Hop;
pub(crate) use origin::Origin;
pub use payload::Payload;
pub(crate) use remote::Remote;
pub use specialize::*;
#[cfg(feature = "server")]
pub(crate) use stored::BirthRecord;
pub(crate) use typed::IntoError;
pub(crate) use typed::RpcError;
pub use typed::{Argument, ErrorField, RpcResult, pass_on, pass_on_public};

#[cfg(test)]
mod tests;
