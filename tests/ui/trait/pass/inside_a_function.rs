//! A service and its types may be declared inside a function.

#[tokio::main(flavor = "current_thread")]
async fn main() {
    use rpc_runtime::{Result, RpcError, rpc_service};
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize)]
    struct Item(u32);

    #[derive(Debug, RpcError)]
    enum ShopError {
        #[rpc(code = "not_found")]
        NoItem { item: u32 },
        #[rpc(other)]
        Other(rpc_runtime::Error),
    }

    #[rpc_service]
    trait Shop {
        async fn buy(&self, item: &Item) -> Result<Item, ShopError>;
    }

    struct Corner;

    impl Shop for Corner {
        async fn buy(&self, item: &Item) -> Result<Item, ShopError> {
            if item.0 == 0 { Err(ShopError::NoItem { item: 0 }) } else { Ok(Item(item.0)) }
        }
    }

    let client = ShopClient::local(Corner);
    assert_eq!(client.buy(&Item(3)).await.unwrap().0, 3);
    assert!(matches!(*client.buy(&Item(0)).await.unwrap_err(), ShopError::NoItem { item: 0 }));
}
