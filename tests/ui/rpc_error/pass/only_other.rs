//! The smallest error, which keeps the door open for more.
#![deny(warnings)]

use rpc_runtime::{Code, Error, RpcError};

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(other)]
    Other { whole: Error },
}

fn main() {
    let error = ShopError::from(Error::new(Code::Aborted, "later"));
    assert_eq!(error.into_error().code(), Code::Aborted);
}
