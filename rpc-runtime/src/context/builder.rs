//! Building the context of an incoming call, and of a request that starts here.

use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "server")]
use super::Principal;
use super::handle::LocalValues;
use super::{Context, ContextInner, PeerInfo, Propagated, ServerInfo, TraceContext};
use crate::descriptor::MethodDescriptor;
use crate::metadata::Metadata;
use crate::request_id::RequestId;

/// Builds the context of an incoming call.
///
/// Boxed, because the futures that hold a builder would otherwise have the size of the whole
/// context.
pub(crate) struct ContextBuilder(Box<ContextInner>);

impl Context {
    pub(crate) fn builder(propagated: Propagated) -> ContextBuilder {
        ContextBuilder::new(propagated)
    }

    /// Creates the context of a request that starts here: a job, a message from a queue, a test.
    /// Outside a context, calls of one job have different request IDs.
    ///
    /// In a [background task](crate::Server::task) or a handler of a server it is a request of that
    /// server: its calls have the server's name and are signed with its keys, and flags have its
    /// values. It has no caller, user, deadline, trace and baggage. In a handler, the calls in its
    /// scope count as calls of the handler. [`with_trace`](Self::with_trace) starts a trace.
    ///
    /// ```
    /// use rpc_runtime::{Context, RequestId};
    ///
    /// let nightly = Context::for_request(RequestId::random());
    /// nightly.enter(|| assert_eq!(Context::current().request_id().len(), 16));
    /// ```
    #[must_use]
    pub fn for_request(id: RequestId) -> Self {
        let server_info = Self::with_current(|current| current.server_info().cloned());
        Self(Some(Arc::new(ContextInner {
            propagated: Propagated::new(id),
            local: LocalValues {
                server_info,
                starts_here: true,
                ..LocalValues::default()
            },
            origin: Self::with_current(Self::call_of_server),
            ..ContextInner::default()
        })))
    }

    /// Returns the context of the call of a server that this one belongs to.
    fn call_of_server(&self) -> Option<Self> {
        let inner = self.inner()?;
        let own = inner.local.server_info.is_some().then_some(self);
        inner.origin.as_ref().or(own).cloned()
    }

    /// Returns whether the deadline is that of the caller, shorter than the limit of the server.
    ///
    /// A call that ends at such a deadline says nothing about the server: the caller chose how long
    /// it waits.
    #[must_use]
    pub fn has_caller_deadline(&self) -> bool {
        self.inner()
            .is_some_and(|inner| inner.local.has_caller_deadline)
    }
}

impl ContextBuilder {
    pub(super) fn new(propagated: Propagated) -> Self {
        Self(Box::new(ContextInner {
            propagated,
            ..ContextInner::default()
        }))
    }

    pub(crate) fn client_request_id(mut self, id: Option<RequestId>) -> Self {
        self.0.local.client_request_id = id;
        self
    }

    #[cfg(feature = "server")]
    pub(crate) fn continue_layered(&mut self, id: RequestId, left: Option<&Context>) {
        self.0.propagated.request_id = Some(id);
        if let Some(left) = left.and_then(Context::inner) {
            self.0.local.extensions = left.local.extensions.clone();
        }
    }

    #[cfg(feature = "server")]
    pub(crate) fn set_principal(&mut self, principal: Principal) {
        self.0.propagated.principal = Some(principal);
    }

    pub(crate) fn server_info(mut self, server_info: Arc<ServerInfo>) -> Self {
        self.0.local.server_info = Some(server_info);
        self
    }

    pub(crate) fn method(mut self, method: &'static MethodDescriptor) -> Self {
        self.0.local.method = Some(method);
        self
    }

    pub(crate) fn deadline(mut self, deadline: Instant) -> Self {
        self.0.propagated.deadline = Some(deadline);
        self
    }

    /// Sets the timeout that the caller sent. `limit` is what the server allows.
    pub(crate) fn caller_timeout(mut self, timeout: Option<Duration>, limit: Duration) -> Self {
        self.0.local.caller_timeout = timeout;
        self.0.local.has_caller_deadline = timeout.is_some_and(|timeout| timeout < limit);
        self
    }

    pub(crate) fn trace_link(mut self, trace: Option<TraceContext>) -> Self {
        self.0.local.trace_link = trace;
        self
    }

    /// Marks the caller as not trusted.
    pub(crate) fn untrusted_caller(mut self) -> Self {
        self.0.local.untrusted_caller = true;
        self
    }

    pub(crate) fn peer(mut self, peer: PeerInfo) -> Self {
        self.0.local.peer = peer;
        self
    }

    pub(crate) fn metadata(mut self, metadata: Metadata) -> Self {
        self.0.local.metadata = metadata;
        self
    }

    pub(crate) fn build(self) -> Context {
        Context(Some(Arc::from(self.0)))
    }
}
