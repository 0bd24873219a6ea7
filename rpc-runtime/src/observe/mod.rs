//! The one observation: a call starts and ends in one place, and everything that counts, logs or traces subscribes.
//!
//! A call that panics and a call that is cancelled end here too. A client's call is one observation, and each of its
//! attempts another one within.

mod call_trace;
mod client_metrics;
mod histogram;
mod method_metrics;
mod server_metrics;
mod tracing_observer;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use call_trace::CallTrace;
pub(crate) use client_metrics::ClientMethodSnapshot;
pub(crate) use method_metrics::MetricsSnapshot;
pub(crate) use server_metrics::{ServerMethodSnapshot, ServerMetrics};
pub use tracing_observer::TracingObserver;

use crate::context::{Context, Outgoing};
use crate::descriptor::MethodDescriptor;
use crate::error::{Code, Error};
use crate::middleware::Response;

/// Which end of a call is observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The end that answers.
    Server,
    /// The end that asks.
    Client,
}

/// A call that has started.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallStart {
    /// Which end this is.
    pub side: Side,
    /// The method; `None` for a path that no service has.
    pub method: Option<&'static MethodDescriptor>,
    /// On a plain HTTP route of the application, the verb as in `http GET`. The path is not in it: callers make paths up,
    /// and whoever counts by them counts without end.
    pub http: Option<&'static str>,
    /// On a server the context of the call, on a client the one that goes out.
    pub context: Context,
    /// Size of the request message in bytes; 0 for a stream and for a request that was not read.
    pub request_bytes: usize,
    /// On a client the place that is called, such as `http://127.0.0.1:9002`: of a call all that the client knows of,
    /// of an attempt the one address that it goes to.
    pub target: Option<Arc<str>>,
    /// Which try it is, from 1. On a server what the caller says, on a client the number of the attempt.
    pub attempt: u32,
    /// When it started.
    pub at: Instant,
    /// While the flag `log_rpc` is on: what its line needs.
    pub(crate) trace: Option<Box<CallTrace>>,
}

impl CallStart {
    /// Runs what writes a line about the call where that line belongs.
    ///
    /// A call is observed outside of its own context, and whoever takes lines asks the context for server and request.
    /// Of a call that goes out, the context has no server; it is made within the one of the server that makes it.
    fn within<R>(&self, write: impl FnOnce() -> R) -> R {
        match self.side {
            Side::Server => self.context.enter(write),
            Side::Client => write(),
        }
    }
}

/// How a call ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallEnd<'a> {
    /// The error, with the text that is not public and its source; `None` for success.
    pub error: Option<&'a Error>,
    /// From start to end.
    pub duration: Duration,
    /// Size of the response message in bytes; 0 for an error and a stream.
    pub response_bytes: usize,
    /// Of a failed attempt that is followed by another: the wait in between.
    pub retry_in: Option<Duration>,
    /// On a server, why the call was turned away before it was begun.
    pub rejection: Option<Rejection>,
}

/// Why a server turned a call away that it could have answered at another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// As many calls ran and waited as the server takes, or the time that a call may wait passed.
    Overload,
    /// The caller has made more calls than it may.
    RateLimit,
}

impl CallEnd<'_> {
    /// The code of the error; `None` for success.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        self.error.map(Error::code)
    }
}

/// Somebody who wants to know of calls.
///
/// The methods run on the path of the call: they must not block.
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
    /// A call has started.
    fn call_started(&self, call: &CallStart) {
        let _ = call;
    }

    /// The call has ended. Once for each start: with `canceled` when it was dropped.
    fn call_ended(&self, call: &CallStart, end: &CallEnd<'_>) {
        let _ = (call, end);
    }

    /// A client sends a call: the first time, again after a failure, or to a second address because the first is slow.
    ///
    /// Between the start and the end of the call; a call that is never sent has no attempt, a call that is answered at
    /// once has one. Count calls by [`call_ended`](Self::call_ended) and attempts by
    /// [`attempt_ended`](Self::attempt_ended): nothing is told twice.
    fn attempt_started(&self, attempt: &CallStart) {
        let _ = attempt;
    }

    /// The attempt has ended. Once for each start: with `canceled` when it was dropped, be it that the deadline passed,
    /// that another attempt was faster, or that the caller went away.
    fn attempt_ended(&self, attempt: &CallStart, end: &CallEnd<'_>) {
        let _ = (attempt, end);
    }

    /// The work of a `detached` method has ended after its caller was answered or had gone away.
    fn detached_ended(&self, call: &CallStart, end: &CallEnd<'_>) {
        let _ = (call, end);
    }
}

/// All observers of one server or client.
#[derive(Clone, Default)]
pub(crate) struct Observers(Arc<[Arc<dyn Observer>]>);

impl Observers {
    pub(crate) fn new(observers: Vec<Arc<dyn Observer>>) -> Self {
        Self(observers.into())
    }

    pub(crate) fn with(&self, observer: Arc<dyn Observer>) -> Self {
        Self(self.0.iter().cloned().chain([observer]).collect())
    }

    /// Starts the observation of a call.
    pub(crate) fn start(&self, call: CallStart) -> Observation {
        if let Some((outgoing, method)) = outgoing(&call) {
            outgoing.call_started(method);
        }
        self.for_each_observer(|observer| observer.call_started(&call));
        Observation {
            observers: self.clone(),
            call,
            rejection: None,
            ended: false,
        }
    }

    /// Starts the observation of one attempt of a client's call. Where nobody looks, nothing is measured.
    pub(crate) fn start_attempt(
        &self,
        method: &'static MethodDescriptor,
        context: &Context,
        attempt: impl FnOnce() -> CallStart,
    ) -> AttemptObservation {
        if let Some(outgoing) = context.home().and_then(|home| home.outgoing()) {
            outgoing.attempt_started(method, context.attempt());
        }
        if self.0.is_empty() {
            return AttemptObservation(None);
        }
        let attempt = attempt();
        self.for_each_observer(|observer| observer.attempt_started(&attempt));
        AttemptObservation(Some((self.clone(), attempt)))
    }

    /// Tells of detached work that ended on its own.
    pub(crate) fn detached_ended(&self, call: &CallStart, response: &Response) {
        let end = end_of(call, response);
        self.for_each_observer(|observer| observer.detached_ended(call, &end));
    }

    /// Tells each observer. One that panics (a `Display` of somebody's error type is enough) takes neither the others
    /// nor the answer with it.
    fn for_each_observer(&self, tell: impl Fn(&dyn Observer)) {
        for observer in self.0.iter() {
            if catch_unwind(AssertUnwindSafe(|| tell(&**observer))).is_err() {
                tracing::error!(target: "rpc", "an observer panicked; what it was told is lost");
            }
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observers({})", self.0.len())
    }
}

/// A call between its start and its end. Dropped before its end, it was cancelled.
#[derive(Debug)]
pub(crate) struct Observation {
    observers: Observers,
    call: CallStart,
    rejection: Option<Rejection>,
    ended: bool,
}

impl Observation {
    /// The call has been answered.
    pub(crate) fn end(self, response: &Response) {
        let bytes = response.body().map_or(0, crate::middleware::Body::len);
        self.end_with(response.error(), bytes);
    }

    /// The call has been answered, and not by a [`Response`].
    pub(crate) fn end_with(mut self, error: Option<&Error>, response_bytes: usize) {
        self.ended = true;
        let rejection = self.rejection;
        self.notify(&CallEnd {
            error,
            duration: self.call.at.elapsed(),
            response_bytes,
            retry_in: None,
            rejection,
        });
    }

    /// The call will be answered by an error and was not begun.
    pub(crate) fn reject(&mut self, rejection: Option<Rejection>) {
        self.rejection = rejection;
    }

    fn notify(&self, end: &CallEnd<'_>) {
        if let Some((outgoing, method)) = outgoing(&self.call) {
            outgoing.call_ended(method, end.code(), end.duration);
        }
        self.observers
            .for_each_observer(|observer| observer.call_ended(&self.call, end));
        // No observer, so that it costs nothing while it is off, and works where there are no observers.
        if self.call.trace.is_some()
            && catch_unwind(AssertUnwindSafe(|| call_trace::write(&self.call, end))).is_err()
        {
            tracing::error!(target: "rpc", "the arguments of a call could not be shown: their code panicked");
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        if !self.ended {
            let error = Error::unlocated(Code::Canceled, "the caller went away");
            self.notify(&CallEnd {
                error: Some(&error),
                duration: self.call.at.elapsed(),
                response_bytes: 0,
                retry_in: None,
                rejection: self.rejection,
            });
        }
    }
}

/// An attempt between its start and its end. Dropped before its end, it was given up.
#[derive(Debug)]
pub(crate) struct AttemptObservation(Option<(Observers, CallStart)>);

impl AttemptObservation {
    /// The attempt has been answered or has failed; `retry_in` is the wait before the next one.
    pub(crate) fn end(mut self, response: &Response, retry_in: Option<Duration>) {
        if let Some((observers, attempt)) = self.0.take() {
            let end = CallEnd {
                retry_in,
                ..end_of(&attempt, response)
            };
            observers.for_each_observer(|observer| observer.attempt_ended(&attempt, &end));
        }
    }
}

impl Drop for AttemptObservation {
    fn drop(&mut self) {
        if let Some((observers, attempt)) = self.0.take() {
            let error = Error::unlocated(Code::Canceled, "the attempt was given up");
            let end = CallEnd {
                error: Some(&error),
                duration: attempt.at.elapsed(),
                response_bytes: 0,
                retry_in: None,
                rejection: None,
            };
            observers.for_each_observer(|observer| observer.attempt_ended(&attempt, &end));
        }
    }
}

/// Who counts a client's call for the server whose handler makes it; nobody does for a call from outside of any.
fn outgoing(call: &CallStart) -> Option<(&dyn Outgoing, &'static MethodDescriptor)> {
    match call.side {
        Side::Server => None,
        Side::Client => Some((call.context.home()?.outgoing()?, call.method?)),
    }
}

fn end_of<'r>(call: &CallStart, response: &'r Response) -> CallEnd<'r> {
    CallEnd {
        error: response.error(),
        duration: call.at.elapsed(),
        response_bytes: response.body().map_or(0, crate::middleware::Body::len),
        retry_in: None,
        rejection: None,
    }
}
