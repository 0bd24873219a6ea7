//! Tasks that inherit the context of the current call.

use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::context::Context;

/// Spawns a task that inherits the current [`Context`] and `tracing` span.
///
/// The task may outlive the call. Its own calls and log events keep the request ID. The stop of the
/// server waits for a task of a handler, as for a call, and tells it by [`Context::shutdown`].
/// While the task runs, it may make calls, so an error of a dependency that the handler returns
/// does not state that nothing was done.
///
/// ```
/// use rpc_runtime::{Context, RequestId};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let context = Context::for_request(RequestId::parse("a").unwrap());
/// let task = context.enter(|| rpc_runtime::spawn(async { Context::current().request_id().to_owned() }));
/// assert_eq!(task.await.unwrap(), "a");
/// # });
/// ```
///
/// # Panics
///
/// Panics outside of a tokio runtime, like [`tokio::spawn`].
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let context = Context::current();
    let task = context.begin_task();
    let work = async move {
        let _task = task;
        future.await
    };
    tokio::spawn(context.scope(work).in_current_span())
}

/// Runs blocking work on tokio's blocking pool, in the current [`Context`] and `tracing` span.
///
/// # Panics
///
/// Panics outside of a tokio runtime, like [`tokio::task::spawn_blocking`].
#[track_caller]
pub fn spawn_blocking<F, R>(work: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let context = Context::current();
    let span = tracing::Span::current();
    let task = context.begin_task();
    tokio::task::spawn_blocking(move || {
        let _task = task;
        span.in_scope(|| context.enter(work))
    })
}
