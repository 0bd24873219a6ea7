//! Work beside the call that still belongs to it.

use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::context::Context;

/// Spawns a task that carries the current [`Context`] and the current `tracing` span on.
///
/// The work goes on when the call is over; its calls and log lines keep the request id.
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
/// Outside a tokio runtime, as [`tokio::spawn`].
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(Context::current().scope(future).in_current_span())
}

/// Runs blocking work on tokio's pool for it, within the current [`Context`] and `tracing` span.
///
/// # Panics
///
/// Outside a tokio runtime, as [`tokio::task::spawn_blocking`].
#[track_caller]
pub fn spawn_blocking<F, R>(work: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let context = Context::current();
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(|| context.enter(work)))
}
