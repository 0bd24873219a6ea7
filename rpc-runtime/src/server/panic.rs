//! Catches panics of handlers, and records their message, location and backtrace.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Once;
use std::task::{self, Poll};

use pin_project_lite::pin_project;

use crate::context::Context;
use crate::error::{Code, Error};

thread_local! {
    /// Whether this thread runs code of a handler, whose panics are caught and logged with their
    /// call.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// The report of the last caught panic of this thread.
    static LAST: RefCell<Option<PanicReport>> = const { RefCell::new(None) };
}

/// The location and the backtrace of a panic.
struct PanicReport {
    place: String,
    backtrace: Backtrace,
}

/// Runs code of a handler and turns a panic into an `internal` error, whose text never leaves the
/// process.
pub(crate) fn catch<R>(piece: impl FnOnce() -> R) -> Result<R, Error> {
    unwind(piece).map_err(|panic| error_of(&*panic))
}

/// Runs code that reports something by a panic. Returns `None` then, and logs nothing.
pub(crate) fn catch_report<R>(piece: impl FnOnce() -> R) -> Option<R> {
    let result = unwind(piece);
    if result.is_err() {
        drop(LAST.take());
    }
    result.ok()
}

fn unwind<R>(piece: impl FnOnce() -> R) -> std::thread::Result<R> {
    let outer = CATCHING.replace(true);
    // Unwind safe: after a panic the future is never polled again, and it shares no state with the
    // runtime.
    let result = catch_unwind(AssertUnwindSafe(piece));
    CATCHING.set(outer);
    result
}

fn error_of(panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message: the panic value is not a string)");
    let error = Error::without_location(Code::Internal, format!("the handler panicked: {text}"))
        .with_reason("PANIC");
    let Some(PanicReport { place, backtrace }) = LAST.take() else {
        return error;
    };
    // Logged separately, because a call is logged on one line.
    if backtrace.status() == BacktraceStatus::Captured {
        let context = Context::current();
        tracing::error!(target: "rpc", request_id = context.request_id(), %place, "backtrace of a panic:\n{backtrace}");
    }
    error.with_source(format!("panic at {place}"))
}

pin_project! {
    /// Turns a panic of a future into an error, whose text is logged and never sent to a caller.
    pub(crate) struct CatchPanic<F> {
        // An option, so that the future can also be dropped under the guard: when the deadline
        // passes or the caller disconnects, the `Drop` code of a handler's values runs.
        #[pin]
        future: Option<F>,
    }

    impl<F> PinnedDrop for CatchPanic<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut future = this.project().future;
            if let Err(error) = catch(|| future.set(None)) {
                tracing::error!(target: "rpc", %error, "a handler panicked while it was dropped");
            }
        }
    }
}

impl<F> CatchPanic<F> {
    pub(crate) fn new(future: F) -> Self {
        Self {
            future: Some(future),
        }
    }
}

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let polled = catch(|| match self.project().future.as_pin_mut() {
            Some(future) => future.poll(cx),
            // Only `drop` sets it to `None`.
            None => Poll::Pending,
        });
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// Installs a hook that records the location and backtrace of panics in handlers. Other panics go
/// to the previous hook. A panic in a handler does not, because it is logged with its call.
pub(crate) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !CATCHING.get() {
                return previous(info);
            }
            let place = info
                .location()
                .map_or_else(|| "an unknown location".to_owned(), ToString::to_string);
            LAST.set(Some(PanicReport {
                place,
                backtrace: Backtrace::capture(),
            }));
        }));
    });
}
