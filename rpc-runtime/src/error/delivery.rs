//! The statement of an error whether its call was executed.

use super::{Code, Error, Execution};

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

    /// States that the call may have been executed, and that running it again with the same
    /// idempotency key is safe, because every effect that it may have had is under that key.
    ///
    /// The server does not keep the error as the result for the key: the next call with the key
    /// runs the handler. Callers see it by [`is_safe_to_repeat`](Self::is_safe_to_repeat). For the
    /// error of a call, use [`Remote::safe_to_repeat`](crate::Remote::safe_to_repeat). Without an
    /// idempotency key the statement changes nothing.
    ///
    /// A handler with an effect that is not under the key must not say it: the effect would happen
    /// twice.
    ///
    /// ```
    /// use rpc_runtime::{Code, Error};
    ///
    /// let error = Error::new(Code::Unavailable, "the payment is not known yet").safe_to_repeat();
    /// assert!(error.is_safe_to_repeat() && !error.is_not_executed());
    /// ```
    #[must_use]
    pub fn safe_to_repeat(self) -> Self {
        self.with_execution(Execution::SafeToRepeat)
    }

    /// Returns whether it is known that nothing was done. If not, the call may have been executed.
    #[must_use]
    pub fn is_not_executed(&self) -> bool {
        use Execution::{DependencyNotExecuted, NotExecuted, NotProcessed};
        matches!(
            self.0.execution,
            NotExecuted | DependencyNotExecuted | NotProcessed
        )
    }

    /// Returns whether the outcome of the call is unknown, and the service states that its handler
    /// may run again with the same idempotency key.
    #[must_use]
    pub fn is_safe_to_repeat(&self) -> bool {
        use Execution::{DependencySafeToRepeat, SafeToRepeat};
        matches!(self.0.execution, SafeToRepeat | DependencySafeToRepeat)
    }

    /// Returns whether the result for an idempotency key is still open: the handler may run again.
    pub(crate) fn leaves_key_free(&self) -> bool {
        self.is_not_executed() || self.0.execution == Execution::SafeToRepeat
    }

    /// Makes the statement of [`Remote::safe_to_repeat`](crate::Remote::safe_to_repeat), unless the
    /// service has answered with a final result.
    pub(super) fn dependency_is_safe_to_repeat(&mut self) {
        let transient = matches!(
            self.0.code,
            Code::Unavailable | Code::DeadlineExceeded | Code::Canceled
        );
        if transient || self.0.failed_call.is_some() || self.is_not_executed() {
            self.0.execution = Execution::SafeToRepeat;
        }
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
        } else if self.is_safe_to_repeat() {
            self.0.execution = Execution::DependencySafeToRepeat;
        }
    }

    /// Takes over what is known of the dependency's call from `original`, unless this error states
    /// something itself.
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
