//! The server that a context lives in.

use std::sync::Arc;
use std::time::Duration;

use super::Source;
use crate::descriptor::MethodDescriptor;
use crate::error::Code;
use crate::flags::Flags;
use crate::identity::IdentityKeys;

/// What a server gives to everything that runs in it, shared by all its calls: a context carries one pointer to it.
///
/// It belongs to the server and not to the process, since one process may run several.
pub(crate) struct Home {
    source: Arc<Source>,
    identity: Option<IdentityKeys>,
    flags: Flags,
    takes_logs: bool,
    outgoing: Option<Arc<dyn Outgoing>>,
}

/// Who counts the calls that the handlers of a server make. Declared here and implemented in `observe`, which this ring
/// does not know: a client finds the server that it is called in by nothing but the context.
pub(crate) trait Outgoing: Send + Sync {
    fn call_started(&self, method: &'static MethodDescriptor);
    /// `attempt` counts from 1.
    fn attempt_started(&self, method: &'static MethodDescriptor, attempt: u32);
    fn call_ended(&self, method: &'static MethodDescriptor, code: Option<Code>, duration: Duration);
}

impl Home {
    pub(crate) fn new(source: Arc<Source>, identity: Option<IdentityKeys>, flags: Flags) -> Self {
        Self {
            source,
            identity,
            flags,
            takes_logs: false,
            outgoing: None,
        }
    }

    /// Says whether the server is a log sink.
    pub(crate) fn with_takes_logs(mut self, takes_logs: bool) -> Self {
        self.takes_logs = takes_logs;
        self
    }

    /// Whether the server is a log sink, so that its own events must not be shipped: to itself, as a rule.
    pub(crate) fn takes_logs(&self) -> bool {
        self.takes_logs
    }

    pub(crate) fn counting(mut self, outgoing: Arc<dyn Outgoing>) -> Self {
        self.outgoing = Some(outgoing);
        self
    }

    /// Who the server is: the source of the calls that its handlers make.
    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// What the calls of its handlers are signed with.
    pub(crate) fn identity(&self) -> Option<&IdentityKeys> {
        self.identity.as_ref()
    }

    /// Who counts what its handlers call.
    pub(crate) fn outgoing(&self) -> Option<&dyn Outgoing> {
        self.outgoing.as_deref()
    }

    /// The values of its flags.
    pub(crate) fn flags(&self) -> &Flags {
        &self.flags
    }
}
