//! `#[deprecated]` warns callers only.
#![deny(warnings)]

use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    #[deprecated(note = "use `purchase`")]
    async fn buy(&self) -> Result<u32>;

    #[cfg_attr(all(), deprecated)]
    async fn sell(&self) -> Result<u32>;
}

#[deprecated(note = "closed")]
#[rpc_service]
trait Kiosk {
    async fn buy(&self) -> Result<u32>;
}

struct Corner;

impl Shop for Corner {
    async fn buy(&self) -> Result<u32> {
        Ok(1)
    }

    async fn sell(&self) -> Result<u32> {
        Ok(2)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let client = ShopClient::local(Corner);
    #[expect(deprecated)]
    let bought = client.buy().await.unwrap();
    #[expect(deprecated)]
    let sold = client.sell().await.unwrap();
    assert_eq!((bought, sold), (1, 2));
    let service = rpc_runtime::registry::services().find(|service| service.name == "Shop").unwrap();
    assert!(service.methods[0].deprecated);
}
