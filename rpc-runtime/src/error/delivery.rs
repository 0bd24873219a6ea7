//! The state of an error that decides whether a client retries.

/// Whether a failed request reached a server, as far as the client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Delivery {
    /// A server responded with this error.
    #[default]
    Answered,
    /// The method did not run: no byte of the request was sent.
    Unsent,
    /// The method did not run: the server said that it did not process the request. This is about a
    /// connection or a moment, and is no evidence against the server.
    NotProcessed,
    /// The connection failed after the first byte was sent. The method may have run.
    OutcomeUnknown,
}

impl Delivery {
    /// Returns whether the method certainly did not run.
    pub(crate) fn is_not_run(self) -> bool {
        matches!(self, Self::Unsent | Self::NotProcessed)
    }
}
