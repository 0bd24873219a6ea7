//! Listeners, and the connections that they accept.

pub(crate) mod accept;
pub(crate) mod listen;
pub(crate) mod peers;
