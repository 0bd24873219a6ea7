//! Code that is generic over `impl Shop` accepts the implementation and the client, on any thread.

use rpc_runtime::{Context, Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, item: &str, count: &u32) -> Result<u32>;

    async fn id(&self, ctx: &Context) -> Result<String>;
}

struct Corner;

impl Shop for Corner {
    async fn buy(&self, item: &str, count: &u32) -> Result<u32> {
        Ok(item.len() as u32 * count)
    }

    async fn id(&self, ctx: &Context) -> Result<String> {
        Ok(ctx.request_id().to_owned())
    }
}

async fn buy_twice(shop: impl Shop) -> Result<u32> {
    let shop = std::sync::Arc::new(shop);
    let other = shop.clone();
    let spawned = tokio::spawn(async move { other.buy("tea", &1).await });
    Ok(shop.buy("milk", &1).await? + spawned.await.unwrap()?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_eq!(buy_twice(Corner).await.unwrap(), 7);
    assert_eq!(buy_twice(ShopClient::local(Corner)).await.unwrap(), 7);
    let id = Shop::id(&ShopClient::local(Corner), &Context::current()).await.unwrap();
    assert_eq!(id.len(), 16);
}
