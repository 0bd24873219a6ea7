//! `fibpro.v1.ComputeWorker`: the work itself.

use rpc_runtime::prelude::*;

/// Computes Fibonacci numbers.
#[rpc_service(package = "fibpro.v1", endpoint = "compute_worker")]
pub trait ComputeWorker {
    /// F(n) in decimal digits.
    ///
    /// `invalid_argument` for an `n` beyond the bound that the worker was started with; ends at the call's deadline.
    #[rpc(no_side_effects)]
    async fn compute_fib(&self, n: u64) -> Result<String>;
}
