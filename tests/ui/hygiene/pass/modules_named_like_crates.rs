//! The paths in the expansion are absolute, so modules may have the names of crates.

#[allow(unused)]
mod core {}
#[allow(unused)]
mod std {}
#[allow(unused)]
mod alloc {}
#[allow(unused)]
mod rpc_runtime {}
#[allow(unused)]
mod inventory {}
#[allow(unused)]
mod serde {}
#[allow(unused)]
mod __private {}

use ::rpc_runtime::{Result, RpcError, rpc_service};

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(code = "not_found")]
    NoItem { item: u32 },
    #[rpc(other)]
    Other(::rpc_runtime::Error),
}

#[rpc_service]
trait Shop {
    async fn buy(&self, item: u32, note: Option<&str>) -> Result<u32, ShopError>;
}

struct Corner;

impl Shop for Corner {
    async fn buy(&self, item: u32, _note: Option<&str>) -> Result<u32, ShopError> {
        if item == 0 { Err(ShopError::NoItem { item }) } else { Ok(item) }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_eq!(ShopClient::local(Corner).buy(1, None).await.unwrap(), 1);
}
