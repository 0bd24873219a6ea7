//! Observation of calls: logging, metrics and tracing implement [`Observer`].
//!
//! Each call has one start and one end, also if it panics or is canceled. On a client the attempts
//! of a call are observed in addition to the call.

#[cfg(feature = "otel")]
mod call_span;
#[cfg(not(feature = "otel"))]
#[path = "call_span_absent.rs"]
mod call_span;
mod call_trace;
#[cfg(feature = "server")]
mod client_metrics;
#[cfg(feature = "server")]
mod connection_metrics;
#[cfg(feature = "server")]
mod histogram;
mod log_throttle;
#[cfg(feature = "server")]
mod method_metrics;
#[cfg(feature = "server")]
mod server_metrics;
mod tracing_observer;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use call_span::CallSpan;
#[cfg(feature = "otel")]
pub(crate) use call_span::trace_calls;
pub(crate) use call_trace::CallTrace;
#[cfg(feature = "server")]
pub(crate) use client_metrics::ClientMethodSnapshot;
#[cfg(feature = "server")]
pub(crate) use connection_metrics::{ConnectionMetrics, ConnectionSnapshot};
pub(crate) use log_throttle::LogThrottle;
#[cfg(feature = "server")]
pub(crate) use method_metrics::MetricsSnapshot;
#[cfg(feature = "server")]
pub(crate) use server_metrics::{ServerMethodSnapshot, ServerMetrics};
pub use tracing_observer::TracingObserver;

use crate::context::{ClientMetricsRecorder, Context};
use crate::descriptor::MethodDescriptor;
use crate::error::{Code, Error};
use crate::middleware::Response;

/// The side of a call that is observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Side {
    /// The server that handles the call.
    Server,
    /// The client that makes the call.
    Client,
}

/// The start of a call.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallStart {
    /// The observed side.
    pub side: Side,
    /// The method; `None` for an unknown path and for plain HTTP routes.
    pub method: Option<&'static MethodDescriptor>,
    /// On a plain HTTP route of the application, `http` and the verb, as in `http GET`. The path is
    /// left out because callers choose it, which would make the number of distinct values
    /// unlimited.
    pub http: Option<&'static str>,
    /// On a server the context of the call; on a client the outgoing context.
    pub context: Context,
    /// Size of the request message in bytes; 0 for a stream or a request that was not read.
    pub request_bytes: usize,
    /// On a client the target, such as `http://127.0.0.1:9002`: for a call all addresses of the
    /// client, for an attempt the address it is sent to.
    pub target: Option<Arc<str>>,
    /// Number of the attempt, from 1. On a server the number that the caller sent.
    pub attempt: u32,
    /// Start time.
    pub at: Instant,
    /// Data for the trace of the call; `None` while the flag `log_rpc` is off.
    pub(crate) trace: Option<Box<CallTrace>>,
    /// On a server, whether the caller receives the chain of an error, and so logs it itself.
    pub(crate) chain_is_sent: bool,
}

impl CallStart {
    #[cfg(any(feature = "client", feature = "server"))]
    fn new(side: Side, method: Option<&'static MethodDescriptor>, context: &Context) -> Self {
        Self {
            side,
            method,
            http: None,
            context: context.clone(),
            request_bytes: 0,
            target: None,
            attempt: context.attempt(),
            at: Instant::now(),
            trace: None,
            chain_is_sent: false,
        }
    }

    /// Creates the start of a call on a server. `method` is `None` for an unknown path.
    #[cfg(feature = "server")]
    pub(crate) fn server(method: Option<&'static MethodDescriptor>, context: &Context) -> Self {
        Self::new(Side::Server, method, context)
    }

    /// Creates the start of a request to a plain HTTP route. `label` is `http` and the verb.
    #[cfg(feature = "server")]
    pub(crate) fn http(label: &'static str, context: &Context) -> Self {
        Self {
            http: Some(label),
            ..Self::new(Side::Server, None, context)
        }
    }

    /// Creates the start of a call or attempt on a client.
    #[cfg(feature = "client")]
    pub(crate) fn client(
        method: &'static MethodDescriptor,
        context: &Context,
        target: &Arc<str>,
    ) -> Self {
        Self {
            target: Some(Arc::clone(target)),
            ..Self::new(Side::Client, Some(method), context)
        }
    }

    /// Runs `write` in the context that log events about the call belong to.
    ///
    /// Observers of a server run outside of the call's context, which log layers read the server
    /// and request ID from. A client's call is observed in the context of its caller; its own
    /// outgoing context has no server.
    fn within<R>(&self, write: impl FnOnce() -> R) -> R {
        match self.side {
            Side::Server => self.context.enter(write),
            Side::Client => write(),
        }
    }
}

/// The end of a call.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallEnd<'a> {
    /// The error, including its private text and source; `None` for success.
    ///
    /// On a plain HTTP route this is the error in the extensions of the response, if there is one.
    /// Its code may differ from [`code`](Self::code), which follows the status.
    pub error: Option<&'a Error>,
    /// Time from start to end.
    pub duration: Duration,
    /// Size of the response message in bytes; 0 for an error or a stream.
    pub response_bytes: usize,
    /// Delay until the next attempt; `None` if no attempt follows.
    pub retry_in: Option<Duration>,
    /// On a server, the reason if the call was rejected before its handler started.
    pub rejection: Option<Rejection>,
    /// On a plain HTTP route, the status of the response; `None` if there is none, as after a
    /// panic.
    pub http_status: Option<u16>,
    code: Option<Code>,
    /// Whether the server rejected the request itself, such as its path, encoding or body. The
    /// caller is at fault then, whatever the code.
    is_bad_request: bool,
}

/// Reason for which a server rejects a call that it could handle at another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// The server was at its limits of running and queued calls, or of memory for messages, or the
    /// call waited too long.
    Overload,
    /// The caller exceeded its rate limit.
    RateLimit,
}

impl<'a> CallEnd<'a> {
    fn new(call: &CallStart, error: Option<&'a Error>, response_bytes: usize) -> Self {
        Self {
            error,
            duration: call.at.elapsed(),
            response_bytes,
            retry_in: None,
            rejection: None,
            http_status: None,
            code: error.map(Error::code),
            is_bad_request: false,
        }
    }

    /// Returns the end of a call with this response.
    fn of(call: &CallStart, response: &'a Response) -> Self {
        let bytes = response.body().map_or(0, crate::middleware::Body::len);
        Self::new(call, response.error(), bytes)
    }

    /// Returns the code of the result; `None` for success.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        self.code
    }
}

/// Receives the start and end of calls.
///
/// The methods run as part of the call and must not block.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use rpc_runtime::Server;
/// use rpc_runtime::observe::{CallEnd, CallStart, Observer};
///
/// #[derive(Default)]
/// struct Failures(AtomicU64);
///
/// impl Observer for Failures {
///     fn call_ended(&self, _: &CallStart, end: &CallEnd<'_>) {
///         if end.error.is_some() {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// let server = Server::new("logsink").observer(Failures::default());
/// # drop(server);
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Called when a call starts.
    fn call_started(&self, call: &CallStart) {
        let _ = call;
    }

    /// Called when a call ends: once for each start, with `canceled` if the call was dropped.
    fn call_ended(&self, call: &CallStart, end: &CallEnd<'_>) {
        let _ = (call, end);
    }

    /// Called when a client sends a call: the first time, as a retry, or as a hedge.
    ///
    /// Attempts are between the start and the end of their call. A call that is never sent has
    /// none. Count calls in [`call_ended`](Self::call_ended) and attempts in
    /// [`attempt_ended`](Self::attempt_ended).
    fn attempt_started(&self, attempt: &CallStart) {
        let _ = attempt;
    }

    /// Called when an attempt ends: once for each start, with `canceled` if it was dropped because
    /// the deadline passed, another attempt was faster, or the caller dropped the call.
    fn attempt_ended(&self, attempt: &CallStart, end: &CallEnd<'_>) {
        let _ = (attempt, end);
    }

    /// Called when the work of a `detached` method ends after its caller got a response or
    /// disconnected.
    fn detached_ended(&self, call: &CallStart, end: &CallEnd<'_>) {
        let _ = (call, end);
    }
}

/// The observers of a server or client.
#[derive(Clone, Default)]
pub(crate) struct Observers(Arc<[Arc<dyn Observer>]>);

impl Observers {
    pub(crate) fn new(observers: Vec<Arc<dyn Observer>>) -> Self {
        Self(observers.into())
    }

    pub(crate) fn with(&self, observer: Arc<dyn Observer>) -> Self {
        Self(self.0.iter().cloned().chain([observer]).collect())
    }

    /// Starts the observation of a call of a server.
    pub(crate) fn start(&self, mut call: CallStart) -> Observation {
        let span = CallSpan::server(&call);
        // So that observers see a trace that begins here.
        if let Some(context) = span.context(&call.context) {
            call.context = context;
        }
        self.start_in(span, call)
    }

    /// Starts the observation of a call that has a span.
    pub(crate) fn start_in(&self, span: CallSpan, call: CallStart) -> Observation {
        if let Some((outgoing, method)) = outgoing(&call) {
            outgoing.call_started(method);
        }
        self.for_each_observer(|observer| observer.call_started(&call));
        Observation {
            observers: self.clone(),
            call,
            span,
            rejection: None,
            ended: false,
        }
    }

    /// Starts the observation of an attempt. Without observers, `attempt` is not called.
    pub(crate) fn start_attempt(
        &self,
        method: &'static MethodDescriptor,
        context: &Context,
        attempt: impl FnOnce() -> CallStart,
    ) -> AttemptObservation {
        if let Some(outgoing) = context
            .server_info()
            .and_then(|server| server.client_metrics())
        {
            outgoing.attempt_started(method, context.attempt());
        }
        if self.0.is_empty() {
            return AttemptObservation(None);
        }
        let attempt = attempt();
        self.for_each_observer(|observer| observer.attempt_started(&attempt));
        AttemptObservation(Some((self.clone(), attempt)))
    }

    /// Notifies of detached work that ended after its call.
    pub(crate) fn detached_ended(&self, call: &CallStart, response: &Response) {
        let end = CallEnd::of(call, response);
        self.for_each_observer(|observer| observer.detached_ended(call, &end));
    }

    /// Notifies each observer. A panic in one (for example in the `Display` of an error type)
    /// affects neither the other observers nor the response.
    fn for_each_observer(&self, notify: impl Fn(&dyn Observer)) {
        for observer in self.0.iter() {
            if catch_unwind(AssertUnwindSafe(|| notify(&**observer))).is_err() {
                tracing::error!(target: "rpc", "an observer panicked while handling a call; its data about this call is incomplete");
            }
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observers({})", self.0.len())
    }
}

/// A running call. Dropping it before its end observes `canceled`.
#[derive(Debug)]
pub(crate) struct Observation {
    observers: Observers,
    call: CallStart,
    span: CallSpan,
    rejection: Option<Rejection>,
    ended: bool,
}

impl Observation {
    /// Ends the observation with the response of the call.
    pub(crate) fn end(mut self, response: &Response) {
        self.ended = true;
        self.notify(&mut CallEnd::of(&self.call, response));
    }

    /// Ends the observation of a call without a [`Response`], or whose response was a stream.
    pub(crate) fn end_with(mut self, error: Option<&Error>, response_bytes: usize) {
        self.ended = true;
        self.notify(&mut CallEnd::new(&self.call, error, response_bytes));
    }

    /// Ends the observation of a request that is rejected before its handler is known or starts.
    #[cfg(feature = "server")]
    pub(crate) fn end_bad_request(mut self, error: &Error) {
        self.ended = true;
        self.notify(&mut CallEnd {
            is_bad_request: true,
            ..CallEnd::new(&self.call, Some(error), 0)
        });
    }

    /// Ends the observation of a plain HTTP route with a response. `failed` has the code of the
    /// status, and the cause of the failure. `is_refused` states that the route refuses the request
    /// itself.
    #[cfg(feature = "server")]
    pub(crate) fn end_http(
        mut self,
        status: u16,
        failed: Option<(Code, &Error)>,
        is_refused: bool,
        response_bytes: usize,
    ) {
        self.ended = true;
        self.notify(&mut CallEnd {
            http_status: Some(status),
            is_bad_request: is_refused,
            code: failed.map(|failed| failed.0),
            ..CallEnd::new(&self.call, failed.map(|failed| failed.1), response_bytes)
        });
    }

    /// Returns the span of the call.
    pub(crate) fn span(&self) -> &CallSpan {
        &self.span
    }

    /// Records why the call is rejected before its handler starts.
    pub(crate) fn reject(&mut self, rejection: Option<Rejection>) {
        self.rejection = rejection;
    }

    fn notify(&self, end: &mut CallEnd<'_>) {
        end.rejection = self.rejection;
        let end = &*end;
        self.span.end(&self.call, end);
        if let Some((outgoing, method)) = outgoing(&self.call) {
            outgoing.call_ended(method, end.code(), end.duration);
        }
        self.observers
            .for_each_observer(|observer| observer.call_ended(&self.call, end));
        // Not an observer: it costs nothing while the flag is off, and works without observers.
        if self.call.trace.is_some()
            && catch_unwind(AssertUnwindSafe(|| call_trace::write(&self.call, end))).is_err()
        {
            tracing::error!(target: "rpc", "cannot log the arguments of a call: formatting them panicked");
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        if !self.ended {
            let error = Error::without_location(Code::Canceled, "the caller went away");
            self.notify(&mut CallEnd::new(&self.call, Some(&error), 0));
        }
    }
}

/// A running attempt. Dropping it before its end observes `canceled`.
#[derive(Debug)]
pub(crate) struct AttemptObservation(Option<(Observers, CallStart)>);

impl AttemptObservation {
    /// Ends the observation with the response; `retry_in` is the delay until the next attempt.
    pub(crate) fn end(mut self, response: &Response, retry_in: Option<Duration>) {
        if let Some((observers, attempt)) = self.0.take() {
            let end = CallEnd {
                retry_in,
                ..CallEnd::of(&attempt, response)
            };
            observers.for_each_observer(|observer| observer.attempt_ended(&attempt, &end));
        }
    }

    /// Ends the observation of an attempt whose response was a stream.
    #[cfg(feature = "client")]
    pub(crate) fn end_stream(mut self, error: Option<&Error>, response_bytes: usize) {
        if let Some((observers, attempt)) = self.0.take() {
            let end = CallEnd::new(&attempt, error, response_bytes);
            observers.for_each_observer(|observer| observer.attempt_ended(&attempt, &end));
        }
    }

    /// Returns whether anything observes the attempt.
    #[cfg(feature = "client")]
    pub(crate) fn is_observed(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for AttemptObservation {
    fn drop(&mut self) {
        if let Some((observers, attempt)) = self.0.take() {
            let error =
                Error::without_location(Code::Canceled, "the attempt was canceled by the client");
            let end = CallEnd::new(&attempt, Some(&error), 0);
            observers.for_each_observer(|observer| observer.attempt_ended(&attempt, &end));
        }
    }
}

/// Returns the recorder of the server whose handler makes this client call; `None` outside of
/// handlers.
fn outgoing(call: &CallStart) -> Option<(&dyn ClientMetricsRecorder, &'static MethodDescriptor)> {
    match call.side {
        Side::Server => None,
        Side::Client => Some((call.context.server_info()?.client_metrics()?, call.method?)),
    }
}
