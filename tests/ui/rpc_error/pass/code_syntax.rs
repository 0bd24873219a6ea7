//! A code may be a string, an identifier or a path.
#![deny(warnings)]

use rpc_runtime::{Code, Error, RpcError};

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(code = "not_found")]
    Text,
    #[rpc(code = not_found)]
    Word,
    #[rpc(code = NotFound)]
    Name,
    #[rpc(code = Code::NotFound)]
    Path,
    #[rpc(code = rpc_runtime::Code::NotFound)]
    FullPath,
    #[rpc(other)]
    Other(Error),
}

fn main() {
    for error in [ShopError::Text, ShopError::Word, ShopError::Name, ShopError::Path, ShopError::FullPath] {
        assert_eq!(error.code(), Code::NotFound, "{error:?}");
    }
}
