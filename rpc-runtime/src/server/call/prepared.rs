//! A call whose arguments are decoded.

use crate::middleware::{BoxFuture, Response};

/// A call whose arguments are decoded and whose handler has not started.
pub(crate) struct PreparedCall {
    /// The idempotency key; `None` for a method without one, and when decoding failed.
    pub(crate) key: Option<String>,
    /// The handler, which starts when it is polled.
    pub(crate) response: BoxFuture<Response>,
}
