//! `fibpro.v1.ComputeWorker`: the work itself.

use rpc_runtime::prelude::*;

/// The largest `n` that can be computed whatever a worker is told: the digits of F(n) must fit a message of 4 MiB.
pub const LARGEST_N: u64 = 20_000_000;

/// The largest `n` unless said: 209 kB of digits, in 50 ms.
pub const DEFAULT_LARGEST_N: u64 = 1_000_000;

/// Computes Fibonacci numbers.
#[rpc_service(package = "fibpro.v1", endpoint = "compute_worker")]
pub trait ComputeWorker {
    /// F(n) in decimal digits.
    ///
    /// `invalid_argument` for an `n` beyond the bound that the worker was started with. Ends at the call's deadline, and
    /// when the caller goes away.
    #[rpc(no_side_effects)]
    async fn compute_fib(&self, n: u64) -> Result<String>;
}
