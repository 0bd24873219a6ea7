//! The state of an error that decides whether a call may run again.
//!
//! One rule for clients, servers and the idempotency store: a call was not executed if it was never
//! sent, or if the server states that it did nothing of it. Of every other failed call the outcome
//! is unknown.

/// Whether a failed call was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Execution {
    /// The call may have been executed. The default, so that knowledge can only be lost towards the
    /// safe side.
    #[default]
    Unknown,
    /// Nothing was done of the call that this service handles; within a client, of the call that
    /// it makes: it was not sent, or the server did not execute it.
    NotExecuted,
    /// The same of a call that this process made, once the client has returned its error. The call
    /// that this service handles may have done something else. Also the statement of a variant with
    /// `#[rpc(not_executed)]`.
    DependencyNotExecuted,
    /// The call may have been executed, and running it again with the same idempotency key is safe:
    /// the statement of the handler.
    SafeToRepeat,
    /// The same of a call that this process made. It says nothing of the call that this service
    /// handles.
    DependencySafeToRepeat,
    /// Nothing was done of one attempt: the server did not process the request (`GOAWAY`,
    /// `REFUSED_STREAM`). This is about a connection or a moment, and is no evidence against the
    /// server.
    NotProcessed,
}
