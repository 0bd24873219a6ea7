//! What travels with a call by itself: request id, caller, deadline, environment, trace, baggage, hop count.

mod baggage;
mod request_id;
mod response;
mod scope;
mod server_info;
mod source;
mod trace;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use baggage::{BAGGAGE_LIMIT, Baggage};
pub use request_id::RequestId;
pub use response::ResponseMetadata;
pub use scope::Scoped;
pub(crate) use server_info::{ClientMetricsRecorder, ServerInfo};
pub use source::{InvalidSource, Source};
pub use trace::TraceContext;

use crate::descriptor::MethodDescriptor;
use crate::error::{Code, Error};
use crate::faults::FaultPlan;
use crate::flags::Flags;
use crate::identity::IdentityKeys;
use crate::metadata::Metadata;
use crate::sync::MutexExt as _;

/// The most services that a request may pass; one more and it is taken for a loop.
pub const HOP_COUNT_LIMIT: u32 = 16;

/// The environment of a process that names none.
pub const DEFAULT_ENVIRONMENT: &str = "prod";

/// The context of a call.
///
/// A handler gets it from [`Context::current`], or as an optional first argument `ctx: &Context`. Generated clients
/// pick it up by themselves, at the line that makes the call. It belongs to the task of the request: it exists only
/// while the request's future is polled or dropped, so it cannot leak into the next request. Work that goes on
/// elsewhere takes it along by [`Context::scope`], [`crate::spawn`] or [`crate::spawn_blocking`].
///
/// Cloning is cheap.
///
/// ```
/// use rpc_runtime::Context;
///
/// // Outside a call there is an empty one.
/// assert_eq!(Context::current().request_id(), "-");
/// ```
#[derive(Clone, Default)]
pub struct Context(Option<Arc<Inner>>);

#[derive(Default)]
struct Inner {
    request_id: Option<RequestId>,
    client_request_id: Option<RequestId>,
    /// Who called.
    source: Option<Arc<Source>>,
    /// Where we are: the server that handles the call; of a call that goes out, the server that makes it.
    server_info: Option<Arc<ServerInfo>>,
    /// Of a call that goes out: what it is signed with.
    identity: Option<IdentityKeys>,
    method: Option<&'static MethodDescriptor>,
    deadline: Option<Instant>,
    environment: Option<Arc<str>>,
    trace: Option<TraceContext>,
    /// The trace of an outside caller; it is linked to and not continued.
    trace_link: Option<TraceContext>,
    baggage: Baggage,
    faults: Option<FaultPlan>,
    hops: u32,
    attempt: u32,
    metadata: Metadata,
    response: Mutex<response::Parts>,
    /// Errors of dependencies on their way through a `#[rpc(from)]` variant; see `Remote::take`.
    passed_on: Mutex<Vec<Error>>,
}

/// What a handler asks.
impl Context {
    /// The context of the call that runs here; an empty one outside a call.
    #[must_use]
    pub fn current() -> Self {
        scope::current()
    }

    /// The id of the request, or `-` outside a call.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.id().map_or("-", RequestId::as_str)
    }

    /// The id that an outside caller offered. An edge makes ids of its own and keeps the offered one here.
    #[must_use]
    pub fn client_request_id(&self) -> Option<&str> {
        self.inner()?
            .client_request_id
            .as_ref()
            .map(RequestId::as_str)
    }

    /// Who called: server, environment, instance. `None` when the caller did not say or is not believed.
    #[must_use]
    pub fn source(&self) -> Option<&Source> {
        self.inner()?.source.as_deref()
    }

    /// The server that handles the call. In the context of a call that goes out, which client layers and observers see,
    /// the server whose handler makes it.
    #[must_use]
    pub fn server(&self) -> Option<&Source> {
        Some(self.server_info()?.source().as_ref())
    }

    /// The flags of the server that handles the call, for work that goes on outside of it.
    #[must_use]
    pub fn flags(&self) -> Option<&Flags> {
        Some(self.server_info()?.flags())
    }

    /// The method that is called.
    #[must_use]
    pub fn method(&self) -> Option<&'static MethodDescriptor> {
        self.inner()?.method
    }

    /// When the call must be done.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.inner()?.deadline
    }

    /// The time left; zero when the deadline has passed, `None` without a deadline.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        Some(self.deadline()?.saturating_duration_since(Instant::now()))
    }

    /// The set of endpoints that the request uses, such as `prod`.
    #[must_use]
    pub fn environment(&self) -> Option<&str> {
        self.inner()?.environment.as_deref()
    }

    /// The W3C trace that the request belongs to.
    #[must_use]
    pub fn trace(&self) -> Option<&TraceContext> {
        self.inner()?.trace.as_ref()
    }

    /// The trace of an outside caller, which an edge links to and does not continue.
    #[must_use]
    pub fn trace_link(&self) -> Option<&TraceContext> {
        self.inner()?.trace_link.as_ref()
    }

    /// Names and values that travel with the request through all services.
    #[must_use]
    pub fn baggage(&self) -> &Baggage {
        static EMPTY: Baggage = Baggage::new();
        self.inner().map_or(&EMPTY, |inner| &inner.baggage)
    }

    /// The faults that are asked for on the way of the request.
    #[must_use]
    pub fn faults(&self) -> Option<&FaultPlan> {
        self.inner()?.faults.as_ref()
    }

    /// How many services the request has passed.
    #[must_use]
    pub fn hops(&self) -> u32 {
        self.inner().map_or(0, |inner| inner.hops)
    }

    /// Which try of the caller this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.inner().map_or(1, |inner| inner.attempt.max(1))
    }

    /// The metadata that the caller sent.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        static EMPTY: Metadata = Metadata::new();
        self.inner().map_or(&EMPTY, |inner| &inner.metadata)
    }

    /// Headers and trailers of the answer, for the handler to set; they go out with an error as well.
    #[must_use]
    pub fn response(&self) -> ResponseMetadata<'_> {
        ResponseMetadata::new(self.inner().map(|inner| &inner.response))
    }
}

/// Carrying it on.
impl Context {
    /// The context of a request that starts here: a job, a message from a queue, a test.
    ///
    /// ```
    /// use rpc_runtime::{Context, RequestId};
    ///
    /// let nightly = Context::for_request(RequestId::random());
    /// nightly.enter(|| assert_eq!(Context::current().request_id().len(), 16));
    /// ```
    #[must_use]
    pub fn for_request(id: RequestId) -> Self {
        Self::builder(id).build()
    }

    /// Runs a future within this context, wherever it is polled.
    ///
    /// ```
    /// use rpc_runtime::{Context, RequestId};
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// let context = Context::for_request(RequestId::parse("nightly-7").unwrap());
    /// let id = context.scope(async { Context::current().request_id().to_owned() }).await;
    /// assert_eq!((&*id, Context::current().request_id()), ("nightly-7", "-"));
    /// # });
    /// ```
    pub fn scope<F: Future>(self, future: F) -> Scoped<F> {
        Scoped::new(self, future)
    }

    /// Runs a closure within this context.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        scope::enter(self.clone(), f)
    }

    /// A context with one more entry of baggage, for the calls that are made within its scope.
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
    /// `resource_exhausted` when the baggage would be larger than [`BAGGAGE_LIMIT`], `invalid_argument` when the
    /// name is no HTTP token.
    pub fn with_baggage(&self, name: &str, value: &str) -> Result<Self, Error> {
        let mut inner = self.copy();
        inner.baggage.insert(name, value)?;
        Ok(Self(Some(Arc::new(inner))))
    }

    /// A context with faults on purpose, for the calls that are made within its scope and all that follows from them;
    /// they take the place of those that it had. See [`Server::allow_faults`](crate::Server::allow_faults).
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
        inner.faults = Some(plan);
        Self(Some(Arc::new(inner)))
    }

    /// A context with an earlier deadline, for the calls that are made within its scope. A later one changes nothing.
    #[must_use]
    pub fn with_deadline(&self, deadline: Instant) -> Self {
        let mut inner = self.copy();
        inner.deadline = Some(self.deadline().map_or(deadline, |own| own.min(deadline)));
        Self(Some(Arc::new(inner)))
    }
}

/// For the two ends.
impl Context {
    /// Looks at the current context.
    pub(crate) fn with_current<R>(f: impl FnOnce(&Self) -> R) -> R {
        f(&scope::current())
    }

    /// Looks at the server whose call runs here, and clones nothing. `f` finds no current context, so it must run nobody
    /// else's code.
    pub(crate) fn with_server_info<R>(f: impl FnOnce(&ServerInfo) -> R) -> Option<R> {
        scope::with(|context| context.server_info().map(|server| f(server)))
    }

    pub(crate) fn id(&self) -> Option<&RequestId> {
        self.inner()?.request_id.as_ref()
    }

    pub(crate) fn source_arc(&self) -> Option<&Arc<Source>> {
        self.inner()?.source.as_ref()
    }

    /// The keys that a call which goes out with this context is signed with.
    pub(crate) fn identity(&self) -> Option<&IdentityKeys> {
        self.inner()?.identity.as_ref()
    }

    /// The server that handles or makes the call, with what it gives to all that runs in it.
    pub(crate) fn server_info(&self) -> Option<&Arc<ServerInfo>> {
        self.inner()?.server_info.as_ref()
    }

    pub(crate) fn environment_arc(&self) -> Option<&Arc<str>> {
        self.inner()?.environment.as_ref()
    }

    /// The context that an outgoing call travels with: the same request, one hop further, from this server.
    ///
    /// `caller` is who calls outside of any server; `identity` are the client's own keys, which come before those of
    /// the server.
    ///
    /// # Errors
    ///
    /// `failed_precondition` when the request has passed [`HOP_COUNT_LIMIT`] services.
    pub(crate) fn child(
        &self,
        caller: Option<&Arc<Source>>,
        identity: Option<&IdentityKeys>,
        deadline: Option<Instant>,
    ) -> Result<Self, Error> {
        let own = self.inner();
        let hops = self.hops() + 1;
        if hops > HOP_COUNT_LIMIT {
            return Err(Error::without_location(
                Code::FailedPrecondition,
                format!(
                    "loop detected: the request has passed {HOP_COUNT_LIMIT} services and would go on"
                ),
            ));
        }
        Ok(Self(Some(Arc::new(Inner {
            request_id: Some(self.id().copied().unwrap_or_else(RequestId::random)),
            source: self
                .server_info()
                .map(|server| server.source())
                .or(caller)
                .cloned(),
            server_info: self.server_info().cloned(),
            identity: identity
                .or_else(|| self.server_info().and_then(|server| server.identity()))
                .cloned(),
            deadline: match (self.deadline(), deadline) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
            environment: own.and_then(|own| own.environment.clone()),
            trace: self.trace().map(TraceContext::child),
            baggage: self.baggage().clone(),
            faults: self.faults().cloned(),
            hops,
            attempt: 1,
            ..Inner::default()
        }))))
    }

    /// The context of what a server does of its own accord, for no request.
    pub(crate) fn for_server(server_info: Arc<ServerInfo>) -> Self {
        Self(Some(Arc::new(Inner {
            server_info: Some(server_info),
            ..Inner::default()
        })))
    }

    /// The same call, tried once more.
    pub(crate) fn for_attempt(&self, attempt: u32) -> Self {
        let mut inner = self.copy();
        inner.attempt = attempt;
        Self(Some(Arc::new(inner)))
    }

    pub(crate) fn builder(request_id: RequestId) -> ContextBuilder {
        ContextBuilder(Box::new(Inner {
            request_id: Some(request_id),
            ..Inner::default()
        }))
    }

    /// The same call with another deadline, which may be later: for work that outlives its caller's patience.
    pub(crate) fn with_later_deadline(&self, deadline: Instant) -> Self {
        let mut inner = self.copy();
        inner.deadline = Some(deadline);
        Self(Some(Arc::new(inner)))
    }

    pub(crate) fn take_response(&self) -> (Metadata, Metadata) {
        self.inner()
            .map(|inner| response::take(&inner.response))
            .unwrap_or_default()
    }

    /// Keeps the chain of a dependency's error until the handler returns.
    pub(crate) fn stash_error_chain(&self, error: Error) {
        if let Some(inner) = self.inner() {
            let mut stash = inner.passed_on.lock_unpoisoned();
            // A handler that swallows errors in a loop must not grow it; the last ones matter.
            if stash.len() == 4 {
                stash.remove(0);
            }
            stash.push(error);
        }
    }

    /// Gives an error that a handler returned the chain of the dependency's error that it wraps.
    pub(crate) fn attach_error_chain(&self, error: &mut Error) {
        if let Some(inner) = self.inner() {
            let stash = inner.passed_on.lock_unpoisoned();
            if let Some(original) = stash.iter().rev().find(|original| error.wraps(original)) {
                error.adopt_chain(original);
            }
        }
    }

    fn inner(&self) -> Option<&Inner> {
        self.0.as_deref()
    }

    /// Everything but what belongs to the one answer of the one call.
    fn copy(&self) -> Inner {
        let Some(own) = self.inner() else {
            return Inner::default();
        };
        Inner {
            request_id: own.request_id,
            client_request_id: own.client_request_id,
            source: own.source.clone(),
            server_info: own.server_info.clone(),
            identity: own.identity.clone(),
            method: own.method,
            deadline: own.deadline,
            environment: own.environment.clone(),
            trace: own.trace.clone(),
            trace_link: own.trace_link.clone(),
            baggage: own.baggage.clone(),
            faults: own.faults.clone(),
            hops: own.hops,
            attempt: own.attempt,
            metadata: own.metadata.clone(),
            response: Mutex::default(),
            passed_on: Mutex::default(),
        }
    }
}

/// Names what identifies the call; metadata and baggage may hold secrets.
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

/// The context of an incoming call, put together by a server. Boxed: it goes through several hands, and every future
/// that holds it would have room for the whole of it.
pub(crate) struct ContextBuilder(Box<Inner>);

impl ContextBuilder {
    pub(crate) fn client_request_id(mut self, id: Option<RequestId>) -> Self {
        self.0.client_request_id = id;
        self
    }

    pub(crate) fn source(mut self, source: Option<Arc<Source>>) -> Self {
        self.0.source = source;
        self
    }

    pub(crate) fn server_info(mut self, server_info: Arc<ServerInfo>) -> Self {
        self.0.server_info = Some(server_info);
        self
    }

    pub(crate) fn method(mut self, method: &'static MethodDescriptor) -> Self {
        self.0.method = Some(method);
        self
    }

    pub(crate) fn deadline(mut self, deadline: Instant) -> Self {
        self.0.deadline = Some(deadline);
        self
    }

    pub(crate) fn environment(mut self, environment: Option<Arc<str>>) -> Self {
        self.0.environment = environment;
        self
    }

    pub(crate) fn trace(mut self, trace: Option<TraceContext>) -> Self {
        self.0.trace = trace;
        self
    }

    pub(crate) fn trace_link(mut self, trace: Option<TraceContext>) -> Self {
        self.0.trace_link = trace;
        self
    }

    pub(crate) fn baggage(mut self, baggage: Baggage) -> Self {
        self.0.baggage = baggage;
        self
    }

    pub(crate) fn faults(mut self, faults: Option<FaultPlan>) -> Self {
        self.0.faults = faults;
        self
    }

    pub(crate) fn hops(mut self, hops: u32) -> Self {
        self.0.hops = hops;
        self
    }

    pub(crate) fn attempt(mut self, attempt: u32) -> Self {
        self.0.attempt = attempt;
        self
    }

    pub(crate) fn metadata(mut self, metadata: Metadata) -> Self {
        self.0.metadata = metadata;
        self
    }

    pub(crate) fn build(self) -> Context {
        Context(Some(Arc::from(self.0)))
    }
}

#[cfg(test)]
mod tests;
