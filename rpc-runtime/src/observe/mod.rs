//! The one observation: a call starts and ends in one place, and everything that counts, logs or traces subscribes.
//!
//! A call that panics and a call that is cancelled end here too.

mod counters;
mod histogram;
mod log;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use counters::{Counted, Counters};
pub use log::TracingLog;

use crate::context::Context;
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
    /// On a client the place that is called, such as `http://127.0.0.1:9002`.
    pub target: Option<Arc<str>>,
    /// When it started.
    pub at: Instant,
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
        self.each(|observer| observer.call_started(&call));
        Observation {
            observers: self.clone(),
            call,
            ended: false,
        }
    }

    /// Tells of detached work that ended on its own.
    pub(crate) fn detached_ended(&self, call: &CallStart, response: &Response) {
        let end = end_of(call, response);
        self.each(|observer| observer.detached_ended(call, &end));
    }

    /// Tells each observer. One that panics (a `Display` of somebody's error type is enough) takes neither the others
    /// nor the answer with it.
    fn each(&self, tell: impl Fn(&dyn Observer)) {
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
        let end = CallEnd {
            error,
            duration: self.call.at.elapsed(),
            response_bytes,
        };
        self.observers
            .each(|observer| observer.call_ended(&self.call, &end));
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        if !self.ended {
            let error = Error::unlocated(Code::Canceled, "the caller went away");
            let end = CallEnd {
                error: Some(&error),
                duration: self.call.at.elapsed(),
                response_bytes: 0,
            };
            self.observers
                .each(|observer| observer.call_ended(&self.call, &end));
        }
    }
}

fn end_of<'r>(call: &CallStart, response: &'r Response) -> CallEnd<'r> {
    CallEnd {
        error: response.error(),
        duration: call.at.elapsed(),
        response_bytes: response.body().map_or(0, crate::middleware::Body::len),
    }
}
