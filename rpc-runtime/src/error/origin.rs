//! The place where an error was made.
//!
//! One rule of disclosure: an error knows from its birth whether this service made it. Whatever way
//! it takes afterwards, an error of a dependency or of a client reaches no untrusted caller.

/// The place where an error was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Origin {
    /// This service or program.
    #[default]
    Own,
    /// A client of this process, without a response of a service: there was no connection, a proxy
    /// responded, or the response could not be read.
    Client,
    /// A dependency: read from its response.
    Dependency,
    /// A dependency, and returned in the enum of this service: in a variant with `#[rpc(from)]`, or
    /// as the value that was received. Trusted callers know the enum, and receive it.
    DependencyVariant,
}

/// The origin of an error, and its use.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Birth {
    pub(super) origin: Origin,
    /// Whether it ended a call that was made for a request of this process's own caller.
    pub(super) for_caller: bool,
}
