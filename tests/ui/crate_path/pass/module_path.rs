//! The path may be that of a module that re-exports the runtime, relative or absolute.

mod facade {
    pub(crate) use rpc_runtime as rpc;
}

mod shop {
    use super::facade::rpc::prelude::*;

    #[rpc_service(crate = "super::facade::rpc")]
    pub(crate) trait Shop {
        async fn buy(&self, item: &str) -> Result<u32, ShopError>;
    }

    #[derive(Debug, RpcError)]
    #[rpc(crate = "crate::facade::rpc")]
    pub(crate) enum ShopError {
        #[rpc(code = "not_found")]
        NoItem,
        #[rpc(other)]
        Other(Error),
    }
}

use rpc_runtime::prelude::*;
use shop::{Shop, ShopClient, ShopError};

struct Corner;

impl Shop for Corner {
    async fn buy(&self, _item: &str) -> Result<u32, ShopError> {
        Err(ShopError::NoItem)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let error = ShopClient::local(Corner).buy("tea").await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(matches!(*error, ShopError::NoItem));
}
