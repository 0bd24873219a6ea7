//! The callers and methods that a rate limit tells apart.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::context::{Context, Principal, Source};
use crate::server::peer_key::PeerKey;
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
    /// A caller without both, by its address.
    Address(PeerKey),
    Unknown,
}

impl RateLimitCaller {
    pub(super) fn of(context: &Context) -> Self {
        match (context.principal(), context.source_arc()) {
            (Some(user), _) => Self::User(user),
            (None, Some(source)) => Self::Server(Arc::clone(source)),
            (None, None) => {
                let address = context.stranger().map(PeerKey::of);
                address.map_or(Self::Unknown, Self::Address)
            }
        }
    }

    /// Returns the kind of the caller, and its name or address.
    fn parts(&self) -> (u8, &str, &str, Option<PeerKey>) {
        match self {
            Self::User(user) => (0, user.subject(), "", None),
            Self::Server(source) => (1, source.server(), source.environment(), None),
            Self::Address(address) => (2, "", "", Some(*address)),
            Self::Unknown => (3, "", "", None),
        }
    }
}

/// Formats the caller for an error text.
impl fmt::Display for RateLimitCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "the user {}", EscapeControl(user.subject())),
            Self::Server(source) => f.write_str(source.server()),
            Self::Address(_) | Self::Unknown => f.write_str("an unknown caller"),
        }
    }
}

impl RateLimitKey {
    fn parts(&self) -> ((u8, &str, &str, Option<PeerKey>), &'static str) {
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
