//! Work beside the call that still belongs to it.

use tokio::task::JoinHandle;

use crate::context::Context;

/// Spawns a task that carries the current [`Context`] on.
///
/// The work goes on when the call is over; its calls and log lines keep the request id.
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
    tokio::spawn(Context::current().scope(future))
}

/// Runs blocking work on tokio's pool for it, within the current [`Context`].
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
    tokio::task::spawn_blocking(move || context.enter(work))
}
