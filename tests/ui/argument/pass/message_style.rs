//! In message style, the argument is the request and the value is the response; set on a method or
//! the trait.

use rpc_runtime::{Context, Result, rpc_service};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Item {
    name: String,
}

#[rpc_service(message)]
trait Store {
    async fn get(&self, request: &Item) -> Result<Item>;

    #[rpc(idempotent)]
    async fn put(&self, ctx: &Context, request: Item) -> Result<Item>;
}

#[rpc_service]
trait Mixed {
    #[rpc(message)]
    async fn get(&self, request: Item) -> Result<Item>;

    async fn count(&self, a: u8, b: u8) -> Result<u8>;
}

struct Shelf;

impl Store for Shelf {
    async fn get(&self, request: &Item) -> Result<Item> {
        Ok(request.clone())
    }

    async fn put(&self, _: &Context, request: Item) -> Result<Item> {
        Ok(request)
    }
}

impl Mixed for Shelf {
    async fn get(&self, request: Item) -> Result<Item> {
        Ok(request)
    }

    async fn count(&self, a: u8, b: u8) -> Result<u8> {
        Ok(a + b)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let item = Item { name: "tea".to_owned() };
    let store = StoreClient::local(Shelf);
    assert_eq!(store.get(&item).await.unwrap(), item);
    assert_eq!(store.put(item.clone()).await.unwrap(), item);
    let mixed = MixedClient::local(Shelf);
    assert_eq!(mixed.get(item.clone()).await.unwrap(), item);
    assert_eq!(mixed.count(1, 2).await.unwrap(), 3);
}
