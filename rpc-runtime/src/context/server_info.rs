//! The server that a context belongs to.

use std::sync::Arc;
use std::time::Duration;

use super::{ServerWork, Source};
use crate::descriptor::MethodDescriptor;
use crate::error::Code;
use crate::flags::Flags;
use crate::identity::IdentityKeys;

/// Properties of a server that its handlers use. A context holds one pointer to it.
///
/// It is per server and not global, because a process may run several servers.
pub(crate) struct ServerInfo {
    source: Arc<Source>,
    identity: Option<IdentityKeys>,
    flags: Flags,
    is_log_sink: bool,
    client_metrics: Option<Arc<dyn ClientMetricsRecorder>>,
    work: Option<Arc<dyn ServerWork>>,
}

/// Records the calls that the handlers of a server make.
///
/// `observe` implements it. The trait is here because a client reaches the metrics of the calling
/// server only through the context, and this module must not depend on `observe`.
pub(crate) trait ClientMetricsRecorder: Send + Sync {
    fn call_started(&self, method: &'static MethodDescriptor);
    /// Records the begin of an attempt; `attempt` counts from 1.
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
            work: None,
        }
    }

    pub(crate) fn with_is_log_sink(mut self, is_log_sink: bool) -> Self {
        self.is_log_sink = is_log_sink;
        self
    }

    /// Returns whether the server is a log sink. Its own events are not exported: it would send
    /// them to itself.
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

    pub(crate) fn with_work(mut self, work: Arc<dyn ServerWork>) -> Self {
        self.work = Some(work);
        self
    }

    /// Returns the work of the server outside of its calls.
    pub(super) fn work(&self) -> Option<&Arc<dyn ServerWork>> {
        self.work.as_ref()
    }

    /// Returns the name of the server, which is the source of the calls that its handlers make.
    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Returns the keys that sign the calls of its handlers.
    pub(crate) fn identity(&self) -> Option<&IdentityKeys> {
        self.identity.as_ref()
    }

    /// Returns the recorder of the calls that its handlers make.
    pub(crate) fn client_metrics(&self) -> Option<&dyn ClientMetricsRecorder> {
        self.client_metrics.as_deref()
    }

    pub(crate) fn flags(&self) -> &Flags {
        &self.flags
    }
}
