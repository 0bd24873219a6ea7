//! Where the current context is kept: on the thread, for as long as one poll lasts.
//!
//! The scope is a small one of our own and not tokio's task-local, because this ring is the vocabulary of every
//! other and knows no runtime, and because the context must also be there while a future is *dropped*.

use std::cell::Cell;
use std::pin::Pin;
use std::task;

use pin_project_lite::pin_project;

use super::Context;

thread_local! {
    static CURRENT: Cell<Context> = const { Cell::new(Context(None)) };
}

pub(super) fn current() -> Context {
    // A cell can only be read by taking: the context is put back before anything else can run.
    let context = swap(Context(None));
    swap(context.clone());
    context
}

/// Lends the current context, which is not there meanwhile.
pub(super) fn with<R>(f: impl FnOnce(&Context) -> R) -> R {
    let guard = Guard(swap(Context(None)));
    f(&guard.0)
}

pub(super) fn enter<R>(context: Context, f: impl FnOnce() -> R) -> R {
    let _guard = Guard(swap(context));
    f()
}

/// Puts the previous context back, also when the work panics.
struct Guard(Context);

impl Drop for Guard {
    fn drop(&mut self) {
        swap(std::mem::take(&mut self.0));
    }
}

fn swap(context: Context) -> Context {
    // While a thread ends, its locals may be gone before the last future on it is dropped.
    CURRENT
        .try_with(|current| current.replace(context))
        .unwrap_or_default()
}

pin_project! {
    /// A future that runs within a [`Context`]; made by [`Context::scope`].
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Scoped<F> {
        context: Context,
        // An option, so that the future can be dropped while the context is entered.
        #[pin]
        future: Option<F>,
    }

    impl<F> PinnedDrop for Scoped<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                enter(this.context.clone(), || this.future.set(None));
            }
        }
    }
}

impl<F> Scoped<F> {
    pub(super) fn new(context: Context, future: F) -> Self {
        Self {
            context,
            future: Some(future),
        }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<F::Output> {
        let mut this = self.project();
        let context = this.context.clone();
        enter(context, || {
            let Some(future) = this.future.as_mut().as_pin_mut() else {
                // As with any future that is polled again: the caller's mistake, and a clear text for it.
                panic!("a scoped future was polled after it was done");
            };
            let polled = future.poll(cx);
            if polled.is_ready() {
                this.future.set(None);
            }
            polled
        })
    }
}
