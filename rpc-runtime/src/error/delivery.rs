//! What the retries of a client need to know of an error beside its code, and what they leave on it.

use super::Error;

/// What became of the request that an error answers, as far as its sender knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Delivery {
    /// Somebody answered, and this is the answer.
    #[default]
    Answered,
    /// Not one byte of it has left: whatever the method does, it was not done.
    Unsent,
    /// The connection broke behind the first byte: it may have been executed.
    OutcomeUnknown,
}

impl Error {
    pub(crate) fn with_delivery(mut self, delivery: Delivery) -> Self {
        self.0.delivery = delivery;
        self
    }

    pub(crate) fn delivery(&self) -> Delivery {
        self.0.delivery
    }

    /// Whether a client nearer to the fault has spent its retries on it. Who retries such an error once more multiplies
    /// them: three tries in each of three layers are twenty-seven at the bottom.
    pub(crate) fn retries_exhausted(&self) -> bool {
        self.0.retries_exhausted
    }

    /// Marks the error as one that has had its retries.
    pub(crate) fn set_retries_exhausted(&mut self, retries_exhausted: bool) {
        self.0.retries_exhausted = retries_exhausted;
    }

    /// Adds what the reader should know of the retries behind the message.
    pub(crate) fn add_note(&mut self, note: &str) {
        let message = self.0.message.to_mut();
        message.push_str(" (");
        message.push_str(note);
        message.push(')');
    }
}
