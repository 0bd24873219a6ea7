//! Listeners, and the connections that they accept.

pub(crate) mod accept;
#[cfg(feature = "_fuzz")]
pub(crate) mod fuzzing;
pub(crate) mod listen;
pub(crate) mod peers;
#[cfg_attr(not(feature = "tls"), path = "tls_absent.rs")]
pub(crate) mod tls;
