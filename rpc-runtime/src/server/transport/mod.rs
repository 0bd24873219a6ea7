//! Listeners, and the connections that they accept.

pub(crate) mod accept;
#[cfg(feature = "_fuzz")]
pub(crate) mod fuzzing;
pub(crate) mod listen;
pub(crate) mod peers;
