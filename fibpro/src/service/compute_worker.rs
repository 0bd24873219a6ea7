//! The compute worker: computes numbers on blocking threads, at most one per core.
//!
//! Users take turns, so that the numbers of one user do not keep others waiting. Numbers that take
//! about a millisecond have threads of their own, so that they do not wait for those that take
//! seconds.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rpc_runtime::{Code, Context, Error, Result, fail};

use super::fair_queue::{FairQueue, UserQueueFull};
use crate::api::compute_worker::{BUYER_HEADER, ComputeWorker, DEFAULT_LARGEST_N};
use crate::fibonacci;

/// Largest `n` of a number that takes about a millisecond.
const SHORT_N: u64 = 100_000;

/// Retry delay when too many numbers of one user wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Implements [`ComputeWorker`].
///
/// No runtime thread computes, so pings, deadlines and other calls are not delayed. A call waits
/// for a free core until its deadline.
#[derive(Debug)]
pub struct Worker {
    largest_n: u64,
    /// Slots for each core: for numbers up to [`SHORT_N`], and for larger ones.
    short: Arc<FairQueue>,
    long: Arc<FairQueue>,
}

impl Worker {
    /// Creates a worker for `n` up to 1,000,000 that uses all cores of this machine.
    #[must_use]
    pub fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            largest_n: DEFAULT_LARGEST_N,
            short: Arc::new(FairQueue::new(cores)),
            long: Arc::new(FairQueue::new(cores)),
        }
    }

    /// Sets how many numbers are computed concurrently, and how many short ones beside them.
    /// Defaults to the number of cores.
    #[must_use]
    pub fn cores(mut self, cores: usize) -> Self {
        self.short = Arc::new(FairQueue::new(cores));
        self.long = Arc::new(FairQueue::new(cores));
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
        // Callers that name no buyer share one queue.
        let buyer = Context::current().metadata().get_bin(BUYER_HEADER);
        let cores = if n <= SHORT_N {
            &self.short
        } else {
            &self.long
        };
        let entered = cores.enter(&buyer.unwrap_or_default()).await;
        let core = entered.map_err(|UserQueueFull| too_many_wait())?;
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

fn too_many_wait() -> Error {
    let text = "too many numbers of this buyer wait for the compute worker";
    Error::new(Code::ResourceExhausted, text)
        .with_retry_after(RETRY_AFTER)
        .not_executed()
}

/// Sets the flag when the call is dropped; the computing thread stops then.
#[derive(Debug, Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
