//! The HTTP status of a response that is not of the protocol.

use super::Error;

impl Error {
    /// Returns the HTTP status of the response, if it came from something else than a server of the
    /// protocol, such as a proxy or a gateway. The [`code`](Self::code) is derived from it, and the
    /// message has the start of the body.
    ///
    /// ```
    /// use rpc_runtime::{Code, Error};
    ///
    /// /// Whether to look for a proxy in between.
    /// fn is_of_proxy(error: &Error) -> bool {
    ///     matches!(error.http_status(), Some(502..=504))
    /// }
    ///
    /// assert!(!is_of_proxy(&Error::new(Code::Unavailable, "the service itself")));
    /// ```
    #[must_use]
    pub fn http_status(&self) -> Option<u16> {
        self.0.http_status
    }

    pub(crate) fn with_http_status(mut self, status: u16) -> Self {
        self.0.http_status = Some(status);
        self
    }
}
