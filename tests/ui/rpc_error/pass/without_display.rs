//! An enum without `Display` has its reason in words as its text. The smallest enum has only
//! `other`.
#![deny(warnings)]

use rpc_runtime::{Code, Error, RpcError};

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(code = "failed_precondition")]
    InsufficientCredit(u32),
    #[rpc(other)]
    Other(Error),
}

#[derive(Debug, RpcError)]
enum Smallest {
    #[rpc(other)]
    Other { whole: Error },
}

fn main() {
    let sent = ShopError::InsufficientCredit(3).into_error();
    assert_eq!(sent.message(), "insufficient credit");
    assert!(matches!(ShopError::from_error(&sent), ShopError::InsufficientCredit(3)));
    let plain = Error::new(Code::Aborted, "later");
    assert!(matches!(ShopError::from_error(&plain), ShopError::Other(_)));
    assert_eq!(Smallest::from(plain).into_error().code(), Code::Aborted);
}
