//! The context of a call.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::extensions::Extensions;
use super::received::ReceivedVariants;
use super::{
    Baggage, PeerCertificate, PeerInfo, Principal, Progress, Propagated, RequestId,
    ResponseMetadata, ServerInfo, Source, TraceContext, propagated, response,
};
use crate::descriptor::MethodDescriptor;
use crate::error::Error;
use crate::faults::FaultPlan;
use crate::flags::Flags;
use crate::identity::IdentityKeys;
use crate::metadata::Metadata;

/// The context of a call.
///
/// A handler gets it from [`Context::current`], or as an optional first argument `ctx: &Context`.
/// Generated clients read the current context on the line that makes the call. A context belongs to
/// the task of its request: it is current only while the future of the request is polled or
/// dropped, so it cannot leak into another request. To use it elsewhere, pass it on with
/// [`Context::scope`], [`crate::spawn`] or [`crate::spawn_blocking`].
///
/// Cloning is cheap.
///
/// ```
/// use rpc_runtime::Context;
///
/// // Outside a call the context is empty.
/// assert_eq!(Context::current().request_id(), "-");
/// ```
#[derive(Clone, Default)]
pub struct Context(pub(super) Option<Arc<ContextInner>>);

#[derive(Default)]
pub(super) struct ContextInner {
    pub(super) propagated: Propagated,
    pub(super) local: LocalValues,
    pub(super) response: ResponseState,
    pub(super) progress: Progress,
    /// The user that a server or a layer has authenticated.
    pub(super) principal: Mutex<Option<Principal>>,
    /// Whether a part of the call ran for a user of [`Context::with_principal`].
    pub(super) had_user: AtomicBool,
    /// The context from which this one is derived, whose progress and response are those of the
    /// call.
    pub(super) origin: Option<Context>,
}

/// The values of a context that stay in this process.
#[derive(Clone, Default)]
pub(super) struct LocalValues {
    pub(super) client_request_id: Option<RequestId>,
    /// The server that handles the call. In the context of an outgoing call: the server that makes
    /// it.
    pub(super) server_info: Option<Arc<ServerInfo>>,
    /// The keys that sign an outgoing call.
    pub(super) identity: Option<IdentityKeys>,
    pub(super) method: Option<&'static MethodDescriptor>,
    /// Whether the request starts here, see [`Context::for_request`].
    pub(super) starts_here: bool,
    /// The trace of an external caller. It is linked to and not continued.
    pub(super) trace_link: Option<TraceContext>,
    /// Whether the caller is not trusted.
    pub(super) untrusted_caller: bool,
    /// The timeout that the caller sent.
    pub(super) caller_timeout: Option<Duration>,
    /// Whether it is shorter than the server's own limit.
    pub(super) has_caller_deadline: bool,
    pub(super) peer: PeerInfo,
    pub(super) metadata: Metadata,
    pub(super) extensions: Extensions,
    /// The user that replaces that of the call, see [`Context::with_principal`].
    pub(super) principal: Option<Principal>,
}

/// Response metadata and error chains that a handler records during its call.
#[derive(Default)]
pub(super) struct ResponseState {
    pub(super) metadata: Mutex<response::Parts>,
    /// Errors of dependencies that a variant with `#[rpc(from)]` holds without their chains.
    pub(super) error_chains: Mutex<Vec<Error>>,
    /// The variants that dependencies have sent.
    pub(super) variants: Mutex<ReceivedVariants>,
}

/// Methods for handlers.
impl Context {
    /// Returns the ID of the request, or `-` outside a call.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.id().map_or("-", RequestId::as_str)
    }

    /// Returns the ID that an external caller sent. An edge listener replaces it by a new ID.
    #[must_use]
    pub fn client_request_id(&self) -> Option<&str> {
        self.inner()?
            .local
            .client_request_id
            .as_ref()
            .map(RequestId::as_str)
    }

    /// Returns the calling server, or `None` if the caller sent no name or is not trusted.
    #[must_use]
    pub fn source(&self) -> Option<&Source> {
        self.propagated().source.as_deref()
    }

    /// Returns the server that handles the call.
    ///
    /// In the context of an outgoing call, which client layers and observers see, this is the
    /// server that makes it.
    #[must_use]
    pub fn server(&self) -> Option<&Source> {
        Some(self.server_info()?.source().as_ref())
    }

    /// Returns the flags of the server that handles the call, for work that continues outside the
    /// call.
    #[must_use]
    pub fn flags(&self) -> Option<&Flags> {
        Some(self.server_info()?.flags())
    }

    /// Returns the called method.
    #[must_use]
    pub fn method(&self) -> Option<&'static MethodDescriptor> {
        self.inner()?.local.method
    }

    /// Returns the deadline of the call.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.propagated().deadline
    }

    /// Returns the time until the deadline: zero if it has passed, `None` without a deadline.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        Some(self.deadline()?.saturating_duration_since(Instant::now()))
    }

    /// Returns the timeout that the caller sent with the call, before the server applied its
    /// limits.
    ///
    /// `None` if the caller sent none; [`deadline`](Self::deadline) is then the default of the
    /// server.
    #[must_use]
    pub fn caller_timeout(&self) -> Option<Duration> {
        self.inner()?.local.caller_timeout
    }

    /// Returns the address from which the call came. Behind the proxies of
    /// [`Server::trusted_proxies`](crate::Server::trusted_proxies) it is that of their client, with
    /// port 0 if they do not state the port. `None` on a Unix socket, within one process, in the
    /// context of an outgoing call, and in a mounted router whose application does not add a
    /// [`PeerAddress`](crate::server::PeerAddress) to its requests.
    #[must_use]
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.inner()?.local.peer.address
    }

    /// Returns the verified client certificate of the caller, where the listener asks for one; see
    /// [`ServerTlsConfig`](crate::ServerTlsConfig). Behind a proxy it is the proxy's.
    #[must_use]
    pub fn peer_certificate(&self) -> Option<&PeerCertificate> {
        self.inner()?.local.peer.certificate.as_deref()
    }

    /// Returns the verified client certificate of the caller itself, not of a proxy before it.
    pub(crate) fn own_certificate(&self) -> Option<&PeerCertificate> {
        let peer = &self.inner()?.local.peer;
        peer.certificate.as_deref().filter(|_| !peer.forwarded)
    }

    /// Returns the address of a caller that is not trusted.
    pub(crate) fn stranger(&self) -> Option<IpAddr> {
        let local = &self.inner()?.local;
        let address = local.peer.address.filter(|_| local.untrusted_caller);
        address.map(|address| address.ip())
    }

    /// Returns whether the call came from a caller that is not trusted.
    pub(crate) fn has_untrusted_caller(&self) -> bool {
        self.inner()
            .is_some_and(|inner| inner.local.untrusted_caller)
    }

    /// Returns the environment of the request, such as `prod`: the set of endpoints that it uses.
    #[must_use]
    pub fn environment(&self) -> Option<&str> {
        self.environment_arc().map(|environment| &**environment)
    }

    /// Returns the W3C trace of the request.
    #[must_use]
    pub fn trace(&self) -> Option<&TraceContext> {
        self.propagated().trace.as_ref()
    }

    /// Returns the trace of an external caller. An edge listener links to it and does not continue
    /// it.
    #[must_use]
    pub fn trace_link(&self) -> Option<&TraceContext> {
        self.inner()?.local.trace_link.as_ref()
    }

    /// Returns the names and values that travel with the request through all services.
    #[must_use]
    pub fn baggage(&self) -> &Baggage {
        &self.propagated().baggage
    }

    /// Returns the faults to inject into this request.
    #[must_use]
    pub fn faults(&self) -> Option<&FaultPlan> {
        self.propagated().faults.as_ref()
    }

    /// Returns the number of services that the request has passed.
    #[must_use]
    pub fn hops(&self) -> u32 {
        self.propagated().hops
    }

    /// Returns the number of the caller's attempt, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.propagated().attempt.max(1)
    }

    /// Returns the metadata that the caller sent. A header whose value is not visible ASCII is left
    /// out. Of a signed call, only headers that the signature covers are there; a proxy may have
    /// added others.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        static EMPTY: Metadata = Metadata::new();
        self.inner().map_or(&EMPTY, |inner| &inner.local.metadata)
    }

    /// Returns the headers and trailers of the response, for the handler to set. Errors carry them
    /// too. A context that is derived from that of the call, as by
    /// [`with_baggage`](Self::with_baggage), has the same response.
    #[must_use]
    pub fn response(&self) -> ResponseMetadata<'_> {
        ResponseMetadata::new(self.call().map(|call| &call.response.metadata))
    }
}

/// Using and deriving contexts.
impl Context {
    /// Returns a context with one more entry of baggage, for the calls that are made in its scope.
    ///
    /// ```
    /// use rpc_runtime::Context;
    ///
    /// let context = Context::current().with_baggage("tenant", "blue")?;
    /// assert_eq!(context.baggage().get("tenant"), Some("blue"));
    /// # Ok::<(), rpc_runtime::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `resource_exhausted` when the baggage would be larger than
    /// [`BAGGAGE_LIMIT`](super::BAGGAGE_LIMIT), `invalid_argument` when the name is not an HTTP
    /// token.
    pub fn with_baggage(&self, name: &str, value: &str) -> Result<Self, Error> {
        let mut inner = self.copy();
        inner.propagated.baggage.insert(name, value)?;
        Ok(Self(Some(Arc::new(inner))))
    }

    /// Returns a context with injected faults, for the calls that are made in its scope and all
    /// calls that follow.
    ///
    /// They replace the faults of this context. See
    /// [`Server::allow_faults`](crate::Server::allow_faults).
    ///
    /// ```
    /// use rpc_runtime::Context;
    ///
    /// let plan = "pricing.pay=unavailable;p=0.5".parse()?;
    /// let context = Context::current().with_faults(plan);
    /// assert!(context.faults().is_some());
    /// # Ok::<(), rpc_runtime::Error>(())
    /// ```
    #[must_use]
    pub fn with_faults(&self, plan: FaultPlan) -> Self {
        let mut inner = self.copy();
        inner.propagated.faults = Some(plan);
        Self(Some(Arc::new(inner)))
    }

    /// Returns a context with an earlier deadline, for the calls that are made in its scope.
    ///
    /// A deadline after the current one has no effect.
    #[must_use]
    pub fn with_deadline(&self, deadline: Instant) -> Self {
        let own = self.deadline().unwrap_or(deadline);
        self.with_later_deadline(own.min(deadline))
    }
}

/// Access of the client and the server to the parts of a context.
impl Context {
    pub(crate) fn id(&self) -> Option<&RequestId> {
        self.propagated().request_id.as_ref()
    }

    /// Returns the keys that sign an outgoing call with this context.
    pub(crate) fn identity(&self) -> Option<&IdentityKeys> {
        self.inner()?.local.identity.as_ref()
    }

    /// Returns whether the request starts here and has no caller.
    pub(crate) fn starts_here(&self) -> bool {
        self.inner().is_some_and(|inner| inner.local.starts_here)
    }

    /// Returns the server that handles or makes the call.
    pub(crate) fn server_info(&self) -> Option<&Arc<ServerInfo>> {
        self.inner()?.local.server_info.as_ref()
    }

    pub(crate) fn source_arc(&self) -> Option<&Arc<Source>> {
        self.propagated().source.as_ref()
    }

    pub(crate) fn environment_arc(&self) -> Option<&Arc<str>> {
        self.propagated().environment.as_ref()
    }

    /// Returns the values that cross a hop.
    pub(crate) fn propagated(&self) -> &Propagated {
        self.inner()
            .map_or(&propagated::EMPTY, |inner| &inner.propagated)
    }

    /// Returns the context of an outgoing call: the same request, one hop further, from this
    /// server.
    ///
    /// `caller` is the source outside any server. `identity` holds the keys of the client, which
    /// are preferred to those of the server. The earlier of both deadlines applies.
    ///
    /// # Errors
    ///
    /// `failed_precondition` when the request has passed
    /// [`HOP_COUNT_LIMIT`](super::HOP_COUNT_LIMIT) services.
    pub(crate) fn child(
        &self,
        caller: Option<&Arc<Source>>,
        identity: Option<&IdentityKeys>,
        deadline: Option<Instant>,
    ) -> Result<Self, Error> {
        let server = self.server_info();
        let source = server.map(|server| server.source()).or(caller);
        Ok(Self(Some(Arc::new(ContextInner {
            propagated: self
                .propagated()
                .child(source.cloned(), self.principal(), deadline)?,
            local: LocalValues {
                server_info: server.cloned(),
                identity: identity
                    .or_else(|| server.and_then(|server| server.identity()))
                    .cloned(),
                ..LocalValues::default()
            },
            response: ResponseState::default(),
            progress: Progress::default(),
            principal: Mutex::default(),
            had_user: AtomicBool::default(),
            origin: None,
        }))))
    }

    /// Returns the context of work that a server does outside any request.
    pub(crate) fn for_server(server_info: Arc<ServerInfo>) -> Self {
        Self(Some(Arc::new(ContextInner {
            local: LocalValues {
                server_info: Some(server_info),
                ..LocalValues::default()
            },
            ..ContextInner::default()
        })))
    }

    /// Returns the context of another attempt of the same call.
    pub(crate) fn for_attempt(&self, attempt: u32) -> Self {
        let mut inner = self.copy();
        inner.propagated.attempt = attempt;
        Self(Some(Arc::new(inner)))
    }

    /// Returns a context of the same call with another deadline, which may be later: for work that
    /// outlives the timeout of its caller.
    pub(crate) fn with_later_deadline(&self, deadline: Instant) -> Self {
        let mut inner = self.copy();
        inner.propagated.deadline = Some(deadline);
        Self(Some(Arc::new(inner)))
    }

    /// Takes the headers and trailers that the handler has set.
    pub(crate) fn take_response(&self) -> (Metadata, Metadata) {
        self.call()
            .map(|call| response::take(&call.response.metadata))
            .unwrap_or_default()
    }

    /// Returns the context of the call, from which this one may be derived.
    pub(super) fn call(&self) -> Option<&ContextInner> {
        let inner = self.inner()?;
        let origin = inner.origin.as_ref().and_then(Self::inner);
        Some(origin.unwrap_or(inner))
    }

    pub(super) fn inner(&self) -> Option<&ContextInner> {
        self.0.as_deref()
    }

    /// Returns a context of the same call whose own calls do not count as calls of the handler.
    #[cfg(feature = "server")]
    pub(crate) fn before_handler(&self) -> Self {
        Self(Some(Arc::new(ContextInner {
            origin: None,
            ..self.copy()
        })))
    }

    /// Copies everything except the progress and the state of the response, which stay those of the
    /// origin: they belong to one call.
    pub(super) fn copy(&self) -> ContextInner {
        let Some(ContextInner {
            propagated,
            local,
            response: _,
            progress: _,
            principal: _,
            had_user: _,
            origin,
        }) = self.inner()
        else {
            return ContextInner::default();
        };
        ContextInner {
            propagated: propagated.clone(),
            local: local.clone(),
            response: ResponseState::default(),
            progress: Progress::default(),
            principal: Mutex::default(),
            had_user: AtomicBool::default(),
            origin: origin.clone().or_else(|| Some(self.clone())),
        }
    }
}

/// Prints what identifies the call. Metadata and baggage may hold secrets.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("request_id", &self.request_id())
            .field("method", &self.method().map(|method| method.path))
            .field("source", &self.source().map(ToString::to_string))
            .field("remaining", &self.remaining())
            .field("environment", &self.environment())
            .field("hops", &self.hops())
            .finish_non_exhaustive()
    }
}
