//! The server that a context lives in.

use std::sync::Arc;

use super::Source;
use crate::flags::Flags;
use crate::identity::IdentityKeys;

/// What a server gives to everything that runs in it, shared by all its calls: a context carries one pointer to it.
///
/// It belongs to the server and not to the process, since one process may run several.
pub(crate) struct Home {
    source: Arc<Source>,
    identity: Option<IdentityKeys>,
    flags: Flags,
}

impl Home {
    pub(crate) fn new(source: Arc<Source>, identity: Option<IdentityKeys>, flags: Flags) -> Self {
        Self {
            source,
            identity,
            flags,
        }
    }

    /// Who the server is: the source of the calls that its handlers make.
    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// What the calls of its handlers are signed with.
    pub(crate) fn identity(&self) -> Option<&IdentityKeys> {
        self.identity.as_ref()
    }

    /// The values of its flags.
    pub(crate) fn flags(&self) -> &Flags {
        &self.flags
    }
}
