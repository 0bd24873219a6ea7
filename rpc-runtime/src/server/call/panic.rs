//! What a panic says, and where it happened.

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
    /// Whether a handler is polled on this thread, so that a panic will be caught and logged with its call.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// Where the last caught panic of this thread happened.
    static LAST: RefCell<Option<PanicReport>> = const { RefCell::new(None) };
}

/// The place and the backtrace of a panic.
struct PanicReport {
    place: String,
    backtrace: Backtrace,
}

/// Runs a piece of a handler. A panic becomes an error whose text stays in the process, as that of every internal
/// error does.
pub(crate) fn catch<R>(piece: impl FnOnce() -> R) -> Result<R, Error> {
    let outer = CATCHING.replace(true);
    // Unwind safe: after a panic the future is never polled again, and it shares nothing with us.
    let result = catch_unwind(AssertUnwindSafe(piece));
    CATCHING.set(outer);
    result.map_err(|panic| error_of(&*panic))
}

fn error_of(panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text");
    let error = Error::without_location(Code::Internal, format!("the handler panicked: {text}"))
        .with_reason("PANIC");
    let Some(PanicReport { place, backtrace }) = LAST.take() else {
        return error;
    };
    // Many lines, so not a part of the line that the call will get.
    if backtrace.status() == BacktraceStatus::Captured {
        let context = Context::current();
        tracing::error!(target: "rpc", request_id = context.request_id(), %place, "backtrace of a panic:\n{backtrace}");
    }
    error.with_source(format!("panic at {place}"))
}

pin_project! {
    /// Turns a panic of a future into an error. Its text goes to the log and never to a caller.
    pub(crate) struct CatchPanic<F> {
        // An option, so that the future can be dropped under the guard as well: a deadline or a caller that goes away
        // runs the `Drop` of everything that a handler holds.
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
            // Only `drop` empties it.
            None => Poll::Pending,
        });
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// Keeps the place and the backtrace of panics in handlers, which only a hook gets to see. The hook that was there
/// before goes on for every other panic; one in a handler is logged with its call, and not twice.
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
                .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
            LAST.set(Some(PanicReport {
                place,
                backtrace: Backtrace::capture(),
            }));
        }));
    });
}
