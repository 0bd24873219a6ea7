//! A variant may state that nothing was done.
#![deny(warnings)]

use rpc_runtime::{Error, RpcError};

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(code = "unavailable", not_executed)]
    Closed,
    #[rpc(code = "failed_precondition", reason = "SHORT", public, not_executed)]
    TooExpensive { cost: u64 },
    #[rpc(code = "unavailable")]
    Lost,
    #[rpc(other)]
    Other(Error),
}

fn main() {
    for (error, not_executed) in [
        (ShopError::Closed, true),
        (ShopError::TooExpensive { cost: 3 }, true),
        (ShopError::Lost, false),
    ] {
        let error = error.into_error();
        assert_eq!(error.is_not_executed(), not_executed, "{error:?}");
        if let ShopError::TooExpensive { cost } = ShopError::from_error(&error) {
            assert_eq!(cost, 3);
        }
    }
}
