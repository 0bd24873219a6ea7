//! `fibpro.v1.ComputeWorker`: computes numbers.

use rpc_runtime::prelude::*;

/// Upper limit of `n` for all workers: the digits of F(n) must fit into a message of 4 MiB.
pub const LARGEST_N: u64 = 20_000_000;

/// Default limit of `n`: 209 kB of digits, computed in 50 ms.
pub const DEFAULT_LARGEST_N: u64 = 1_000_000;

/// Binary header with the name of the user that buys a number. Users take turns at the worker;
/// calls without this header count as those of one user.
pub const BUYER_HEADER: &str = "fibpro-buyer-bin";

/// Computes Fibonacci numbers.
#[rpc_service(package = "fibpro.v1", endpoint = "compute_worker")]
pub trait ComputeWorker {
    /// Returns F(n) in decimal digits.
    ///
    /// `invalid_argument` for an `n` above the worker's limit. The computation stops at the
    /// deadline of the call and when the caller is gone.
    #[rpc(no_side_effects)]
    async fn compute_fib(&self, n: u64) -> Result<String>;
}
