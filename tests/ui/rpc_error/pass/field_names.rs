//! Names of fields that are not in snake case cause no warning in the expansion.
#![deny(warnings)]

use rpc_runtime::{Error, RpcError};

#[derive(Debug, RpcError)]
#[allow(non_snake_case)]
enum ShopError {
    #[rpc(code = "not_found")]
    NoItem { itemName: String, _shelf: u32 },
    #[rpc(other)]
    Other(Error),
}

fn main() {
    let error = ShopError::NoItem {
        itemName: "tea".to_owned(),
        _shelf: 1,
    };
    let sent = error.into_error();
    let ShopError::NoItem { itemName, _shelf } = ShopError::from_error(&sent) else {
        panic!("another error");
    };
    assert_eq!((&*itemName, _shelf), ("tea", 1));
}
