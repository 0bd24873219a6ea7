//! Serves the shop on a free port of loopback, which it prints.

use contracts::{Item, Shop, ShopError, ShopServer};
use rpc_runtime::{Result, Server};

struct TeaShop;

impl Shop for TeaShop {
    async fn buy(&self, name: &str) -> Result<Item, ShopError> {
        let name = name.to_owned();
        if name == "tea" {
            Ok(Item { name, cents: 350 })
        } else {
            Err(ShopError::NoItem { name })
        }
    }

    async fn stock(&self) -> Result<u32> {
        Ok(7)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    Server::new("shop")
        .listen("127.0.0.1:0")
        .add(ShopServer::new(TeaShop))
        .run()
        .await
}
