//! The callers and methods that a rate limit tells apart.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::context::{Context, Principal, Source};
use crate::text::EscapeControl;

/// A caller and a method.
#[derive(Debug, Clone)]
pub(super) struct RateLimitKey {
    pub(super) caller: RateLimitCaller,
    pub(super) path: &'static str,
}

/// The caller whose calls are counted.
#[derive(Debug, Clone)]
pub(super) enum RateLimitCaller {
    /// A user, whichever server calls for it.
    User(Principal),
    /// All instances of a server.
    Server(Arc<Source>),
    Unknown,
}

impl RateLimitCaller {
    pub(super) fn of(context: &Context) -> Self {
        match (context.principal(), context.source_arc()) {
            (Some(user), _) => Self::User(user),
            (None, Some(source)) => Self::Server(Arc::clone(source)),
            (None, None) => Self::Unknown,
        }
    }

    /// Returns the kind of the caller, and its name.
    fn parts(&self) -> (u8, &str, &str) {
        match self {
            Self::User(user) => (0, user.subject(), ""),
            Self::Server(source) => (1, source.server(), source.environment()),
            Self::Unknown => (2, "", ""),
        }
    }
}

/// Formats the caller for an error text.
impl fmt::Display for RateLimitCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "the user {}", EscapeControl(user.subject())),
            Self::Server(source) => f.write_str(source.server()),
            Self::Unknown => f.write_str("an unknown caller"),
        }
    }
}

impl RateLimitKey {
    fn parts(&self) -> ((u8, &str, &str), &'static str) {
        (self.caller.parts(), self.path)
    }
}

impl PartialEq for RateLimitKey {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for RateLimitKey {}

impl Hash for RateLimitKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}
