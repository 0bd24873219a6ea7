//! The author of a change of a flag.

use std::fmt;
use std::sync::Arc;

/// The author of a change, for the audit log: a component of the program, or a caller.
///
/// ```
/// use rpc_runtime::flags::Actor;
///
/// let actor = Actor::new("cache resizer");
/// assert_eq!(actor.as_str(), "cache resizer");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Actor(Arc<str>);

impl Actor {
    /// Creates an actor with a name that operators know.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
