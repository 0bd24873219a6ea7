//! The developer's supertraits are kept. A client has none of them, so it does not implement such a trait.

use rpc_runtime::{Result, rpc_service};

trait Named {
    fn name(&self) -> String;

    // As in the service: the expansion says which one it means.
    fn buy(&self) -> u32;
}

#[rpc_service]
trait Shop: Named + Send {
    async fn greet(&self) -> Result<String> {
        Ok(format!("welcome to {}", self.name()))
    }

    async fn buy(&self, item: &str) -> Result<u32>;
}

/// These every client has.
#[rpc_service]
trait Copied: std::fmt::Debug + Clone + Send + Sync + 'static {
    async fn buy(&self) -> Result<u32>;
}

struct Corner;

impl Named for Corner {
    fn name(&self) -> String {
        "the corner".to_owned()
    }

    fn buy(&self) -> u32 {
        40
    }
}

impl Shop for Corner {
    async fn buy(&self, item: &str) -> Result<u32> {
        Ok(Named::buy(self) + item.len() as u32)
    }
}

fn is_copied(_: &impl Copied) {}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let client = ShopClient::local(Corner);
    assert_eq!(client.greet().await.unwrap(), "welcome to the corner");
    assert_eq!(client.buy("ab").await.unwrap(), 42);
    is_copied(&CopiedClient::connect("http://127.0.0.1:9").unwrap());
}
