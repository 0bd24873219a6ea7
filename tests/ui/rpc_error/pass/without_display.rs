//! An enum without `Display` says the reason in words.

use rpc_runtime::{Error, RpcError};

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(code = "failed_precondition")]
    InsufficientCredit(u32),
    #[rpc(other)]
    Other(Error),
}

fn main() {
    let sent = ShopError::InsufficientCredit(3).into_error();
    assert_eq!(sent.message(), "insufficient credit");
    assert!(matches!(ShopError::from_error(&sent), ShopError::InsufficientCredit(3)));
    let plain = Error::new(rpc_runtime::Code::Aborted, "later");
    assert!(matches!(ShopError::from_error(&plain), ShopError::Other(_)));
}
