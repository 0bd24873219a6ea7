//! The server that a context lives in.

use std::sync::Arc;

use super::Source;
use crate::identity::IdentityKeys;

/// What a server gives to everything that runs in it, shared by all its calls: a context carries one pointer to it.
///
/// It belongs to the server and not to the process, since one process may run several.
pub(crate) struct Home {
    source: Arc<Source>,
    identity: Option<IdentityKeys>,
}

impl Home {
    pub(crate) fn new(source: Arc<Source>, identity: Option<IdentityKeys>) -> Self {
        Self { source, identity }
    }

    /// Who the server is: the source of the calls that its handlers make.
    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// What the calls of its handlers are signed with.
    pub(crate) fn identity(&self) -> Option<&IdentityKeys> {
        self.identity.as_ref()
    }
}
