//! A supertrait may have a method of the same name; the expansion says which one it means.

use rpc_runtime::{Result, rpc_service};

trait Older {
    fn buy(&self) -> u32;
}

#[rpc_service]
trait Shop: Older {
    async fn buy(&self, item: &str) -> Result<u32>;
}

struct Corner;

impl Older for Corner {
    fn buy(&self) -> u32 {
        40
    }
}

impl Shop for Corner {
    async fn buy(&self, item: &str) -> Result<u32> {
        Ok(Older::buy(self) + item.len() as u32)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_eq!(ShopClient::local(Corner).buy("ab").await.unwrap(), 42);
}
