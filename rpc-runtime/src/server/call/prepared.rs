//! A call whose arguments are decoded.

use std::future::ready;

use crate::error::{Code, Error};
use crate::middleware::{BoxFuture, Response};

/// A call whose arguments are decoded and whose handler has not started.
pub(crate) struct PreparedCall {
    /// The idempotency key; `None` for a method without one, and when the handler will not start.
    pub(crate) key: Option<String>,
    /// The handler, which starts when it is polled.
    pub(crate) response: BoxFuture<Response>,
}

impl PreparedCall {
    /// Creates a call without an idempotency key.
    pub(crate) fn without_key(response: BoxFuture<Response>) -> Self {
        Self {
            key: None,
            response,
        }
    }

    /// Creates a call that fails with this error instead of running its handler: nothing was done.
    pub(crate) fn failed(error: Error) -> Self {
        Self::without_key(Box::pin(ready(error.not_executed().into())))
    }

    /// Creates a call that was refused before its handler began. Its caller already has a response,
    /// which states that nothing was done.
    pub(crate) fn refused() -> Self {
        let text = "the call ended before its handler began";
        Self::failed(Error::without_location(Code::Canceled, text))
    }
}
