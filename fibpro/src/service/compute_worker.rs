//! The compute worker: computes numbers on blocking threads, at most one per core.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use rpc_runtime::{Code, Context, Error, Result, fail};
use tokio::sync::Semaphore;

use crate::api::compute_worker::{ComputeWorker, DEFAULT_LARGEST_N};
use crate::fibonacci;

/// Implements [`ComputeWorker`].
///
/// No runtime thread computes, so pings, deadlines and other calls are not delayed. A call waits
/// for a free core until its deadline.
#[derive(Debug)]
pub struct Worker {
    largest_n: u64,
    /// One permit per core.
    cores: Arc<Semaphore>,
}

impl Worker {
    /// Creates a worker for `n` up to 1,000,000 that uses all cores of this machine.
    #[must_use]
    pub fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            largest_n: DEFAULT_LARGEST_N,
            cores: Arc::new(Semaphore::new(cores)),
        }
    }

    /// Sets how many numbers are computed concurrently. Defaults to the number of cores.
    #[must_use]
    pub fn cores(mut self, cores: usize) -> Self {
        self.cores = Arc::new(Semaphore::new(cores));
        self
    }

    /// Sets the largest accepted `n`.
    #[must_use]
    pub fn largest_n(mut self, largest_n: u64) -> Self {
        self.largest_n = largest_n;
        self
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self::new()
    }
}

impl ComputeWorker for Worker {
    async fn compute_fib(&self, n: u64) -> Result<String> {
        if n > self.largest_n {
            let text = format!("n is at most {}", self.largest_n);
            return Err(Error::new(Code::InvalidArgument, text.clone()).with_violation("n", text));
        }
        let Ok(core) = Arc::clone(&self.cores).acquire_owned().await else {
            fail!(
                Code::Internal,
                "internal error: the semaphore of the cores is closed"
            );
        };
        let deadline = Context::current().deadline();
        let cancel = CancelOnDrop::default();
        let is_gone = Arc::clone(&cancel.0);
        let work = rpc_runtime::spawn_blocking(move || {
            // Released when the thread is done, and not when the caller is gone.
            let _core = core;
            fibonacci::decimal(n, || {
                !is_gone.load(Ordering::Relaxed)
                    && deadline.is_none_or(|deadline| Instant::now() < deadline)
            })
        });
        match work.await {
            Ok(Ok(digits)) => Ok(digits),
            Ok(Err(stopped)) => fail!(Code::DeadlineExceeded, "F({n}): {stopped}"),
            Err(failed) => Err(Error::new(Code::Internal, format!("F({n}): {failed}"))),
        }
    }
}

/// Sets the flag when the call is dropped; the computing thread stops then.
#[derive(Debug, Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
