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
pub(crate) struct ServerInfo {
    source: Arc<Source>,
    identity: Option<IdentityKeys>,
    flags: Flags,
    is_log_sink: bool,
    client_metrics: Option<Arc<dyn ClientMetricsRecorder>>,
}

/// Who counts the calls that the handlers of a server make. Declared here and implemented in `observe`, which this ring
/// does not know: a client finds the server that it is called in by nothing but the context.
pub(crate) trait ClientMetricsRecorder: Send + Sync {
    fn call_started(&self, method: &'static MethodDescriptor);
    /// `attempt` counts from 1.
    fn attempt_started(&self, method: &'static MethodDescriptor, attempt: u32);
    fn call_ended(&self, method: &'static MethodDescriptor, code: Option<Code>, duration: Duration);
}

impl ServerInfo {
    pub(crate) fn new(source: Arc<Source>, identity: Option<IdentityKeys>, flags: Flags) -> Self {
        Self {
            source,
            identity,
            flags,
            is_log_sink: false,
            client_metrics: None,
        }
    }

    /// Says whether the server is a log sink.
    pub(crate) fn with_is_log_sink(mut self, is_log_sink: bool) -> Self {
        self.is_log_sink = is_log_sink;
        self
    }

    /// Whether the server is a log sink, so that its own events must not be shipped: to itself, as a rule.
    pub(crate) fn is_log_sink(&self) -> bool {
        self.is_log_sink
    }

    pub(crate) fn with_client_metrics(
        mut self,
        client_metrics: Arc<dyn ClientMetricsRecorder>,
    ) -> Self {
        self.client_metrics = Some(client_metrics);
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
    pub(crate) fn client_metrics(&self) -> Option<&dyn ClientMetricsRecorder> {
        self.client_metrics.as_deref()
    }

    /// The values of its flags.
    pub(crate) fn flags(&self) -> &Flags {
        &self.flags
    }
}
