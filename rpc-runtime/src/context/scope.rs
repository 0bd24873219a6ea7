//! The current context: a thread-local that is set while a future is polled or dropped.
//!
//! It does not use tokio's task-locals: this module must not depend on a runtime, and the context
//! must also be set while a future is *dropped*.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task;

use pin_project_lite::pin_project;

use super::{Context, ServerInfo};
use crate::flags::Flag;

thread_local! {
    static CURRENT: Cell<Context> = const { Cell::new(Context(None)) };
}

/// The current context.
impl Context {
    /// Returns the context of the current call, or an empty one outside a call.
    #[must_use]
    pub fn current() -> Self {
        current()
    }

    /// Runs a future in this context, on any task that polls it.
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

    /// Runs a closure in this context.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        enter(self.clone(), f)
    }

    /// Calls `f` with the current context.
    pub(crate) fn with_current<R>(f: impl FnOnce(&Self) -> R) -> R {
        f(&current())
    }

    /// Calls `f` with the server that handles the current call, and clones nothing.
    ///
    /// There is no current context during `f`, so it must not run code of the application.
    pub(crate) fn with_server_info<R>(f: impl FnOnce(&ServerInfo) -> R) -> Option<R> {
        with(|context| context.server_info().map(|server| f(server)))
    }
}

/// Reading a flag in the current context.
impl<T: Send + Sync + 'static> Flag<T> {
    /// Returns the value in the server that handles the current call, or the default outside a
    /// call.
    ///
    /// For `bool`, numbers up to 64 bits and `Duration` this is an atomic load.
    #[must_use]
    pub fn get(&self) -> T
    where
        T: Copy,
    {
        Context::with_server_info(|server| server.flags().get(self))
            .unwrap_or_else(|| self.default_value())
    }

    /// Returns the value as [`get`](Self::get) does, for types that are not `Copy`.
    #[must_use]
    pub fn load(&self) -> Arc<T> {
        Context::with_server_info(|server| server.flags().load(self))
            .unwrap_or_else(|| self.load_default())
    }
}

fn current() -> Context {
    // A `Cell` is read by taking its value, which is put back before other code can run.
    let context = swap(Context(None));
    swap(context.clone());
    context
}

/// Calls `f` with the current context. There is no current context during the call.
fn with<R>(f: impl FnOnce(&Context) -> R) -> R {
    let guard = Guard(swap(Context(None)));
    f(&guard.0)
}

fn enter<R>(context: Context, f: impl FnOnce() -> R) -> R {
    let _guard = Guard(swap(context));
    f()
}

/// Restores the previous context, even after a panic.
struct Guard(Context);

impl Drop for Guard {
    fn drop(&mut self) {
        swap(std::mem::take(&mut self.0));
    }
}

fn swap(context: Context) -> Context {
    // When a thread ends, its thread-locals may be destroyed before the last future on it is
    // dropped.
    CURRENT
        .try_with(|current| current.replace(context))
        .unwrap_or_default()
}

pin_project! {
    /// A future that runs in a [`Context`]. Created by [`Context::scope`].
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is awaited"]
    pub struct Scoped<F> {
        context: Context,
        // An `Option`, because the future is dropped while the context is entered.
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
    fn new(context: Context, future: F) -> Self {
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
                // Polling a completed future is an error of the caller, as with every future.
                panic!("`Scoped` polled after completion");
            };
            let polled = future.poll(cx);
            if polled.is_ready() {
                this.future.set(None);
            }
            polled
        })
    }
}
