//! The state of an error that decides whether a client retries.

use super::Error;

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
    /// Whether the method certainly did not run.
    pub(crate) fn is_not_run(self) -> bool {
        matches!(self, Self::Unsent | Self::NotProcessed)
    }
}

impl Error {
    pub(crate) fn with_delivery(mut self, delivery: Delivery) -> Self {
        self.0.delivery = delivery;
        self
    }

    pub(crate) fn delivery(&self) -> Delivery {
        self.0.delivery
    }

    /// Returns whether a client closer to the failure has already retried the call.
    ///
    /// Retrying such an error again would multiply the attempts: three attempts in each of three
    /// layers are 27.
    pub(crate) fn retries_exhausted(&self) -> bool {
        self.0.retries_exhausted
    }

    /// Sets whether the call has already been retried.
    pub(crate) fn set_retries_exhausted(&mut self, retries_exhausted: bool) {
        self.0.retries_exhausted = retries_exhausted;
    }

    /// Appends a note in parentheses to the message.
    pub(crate) fn add_note(&mut self, note: &str) {
        let message = self.0.message.to_mut();
        message.push_str(" (");
        message.push_str(note);
        message.push(')');
    }
}
