//! One service is replaced by a fake that implements its trait.

use fibpro::api::compute_worker::ComputeWorker;
use rpc_runtime::prelude::*;

use super::harness::FibPro;

/// A compute worker that knows one number.
struct KnowsOne;

impl ComputeWorker for KnowsOne {
    async fn compute_fib(&self, n: u64) -> Result<String> {
        match n {
            7 => Ok("thirteen".to_owned()),
            _ => fail!(Code::Internal, "out of numbers, canary"),
        }
    }
}

#[tokio::test]
async fn one_service_is_faked_by_its_trait() {
    let fibpro = FibPro::with_worker(2, KnowsOne).await;
    let response = fibpro.get("/7").await;
    assert_eq!((response.status, response.text.as_str()), (200, "thirteen"));
    // An error of the fake takes the path of every error: the caller sees no details and pays
    // nothing.
    let response = fibpro.get("/8").await;
    assert_eq!(
        (response.status, response.text.as_str()),
        (500, "Error: fib(8) failed; see this service's log")
    );
    assert_eq!(fibpro.credit().await, 1);
    fibpro.audit().await;
}
