#[derive(Debug, thiserror::Error, RpcError)]
pub enum PricingError {
    #[error("fib({n}) costs {cost}, user {user} has insufficient credit({credit})")]
    #[rpc(code = "failed_precondition")]
    InsufficientCredit { n: u64, cost: u64, user: String, credit: i64 },
    #[error("the store is down")]
    #[rpc(code = "unavailable", reason = "STORE_DOWN")]
    Store(#[rpc(skip)] std::io::Error),
    #[error("not for now")]
    #[rpc(code = "unavailable", not_executed)]
    Closed { until: u64 },
    #[error("broken")]
    #[rpc(code = Code::Internal, public)]
    Broken,
    #[error("no user")]
    #[rpc(from)]
    User(UserStoreError),
    #[error(transparent)]
    #[rpc(other)]
    Other(rpc_runtime::Error),
}
