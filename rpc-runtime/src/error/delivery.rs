//! The statement of an error whether its call was executed.

use super::{Error, Execution};

/// Whether the call was executed.
impl Error {
    /// States that nothing was done: the call may run again, whatever its method.
    ///
    /// Clients then retry every method, elsewhere if they can, if the code is `unavailable`; and
    /// the server does not keep the error as the result for an idempotency key. Without this
    /// statement the outcome of a call whose handler has begun is unknown, whatever the code.
    ///
    /// ```
    /// use rpc_runtime::{Code, Error, Result};
    ///
    /// fn reserve(free: u32) -> Result<()> {
    ///     if free == 0 {
    ///         // Nothing was reserved.
    ///         return Err(Error::new(Code::Unavailable, "no seat is free for now").not_executed());
    ///     }
    ///     Ok(())
    /// }
    ///
    /// assert!(reserve(0).unwrap_err().is_not_executed());
    /// ```
    #[must_use]
    pub fn not_executed(self) -> Self {
        self.with_execution(Execution::NotExecuted)
    }

    /// States that the call may have been executed. Use it for the error of a dependency that did
    /// nothing, if this service has done something before, such as a write to its database.
    #[must_use]
    pub fn outcome_unknown(self) -> Self {
        self.with_execution(Execution::Unknown)
    }

    /// Returns whether it is known that nothing was done. If not, the call may have been executed.
    #[must_use]
    pub fn is_not_executed(&self) -> bool {
        self.0.execution != Execution::Unknown
    }

    pub(crate) fn with_execution(mut self, execution: Execution) -> Self {
        self.0.execution = execution;
        self
    }

    pub(crate) fn execution(&self) -> Execution {
        self.0.execution
    }

    pub(crate) fn set_execution(&mut self, execution: Execution) {
        self.0.execution = execution;
    }

    /// Turns the statement of a server about its own call into one about a dependency.
    pub(super) fn execution_of_dependency(&mut self) {
        if self.is_not_executed() {
            self.0.execution = Execution::DependencyNotExecuted;
        }
    }

    /// Takes over what is known of the dependency's call from `original`, unless this error states
    /// that nothing was done.
    pub(super) fn adopt_execution(&mut self, original: &Self) {
        if self.0.execution == Execution::Unknown {
            self.0.execution = original.0.execution;
        }
    }
}

/// Facts by which a client decides whether to retry, and the text of the message.
impl Error {
    /// Returns whether no client should retry the call, because a client closer to the failure has
    /// already done so, or because a repeat would get the same error.
    ///
    /// Retrying such an error again would multiply the attempts: three attempts in each of three
    /// layers are 27.
    pub(crate) fn retries_exhausted(&self) -> bool {
        self.0.retries_exhausted
    }

    /// Sets whether no client should retry the call.
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
