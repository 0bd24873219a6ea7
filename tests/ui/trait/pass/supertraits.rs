//! Supertraits are kept. The client does not implement a trait with supertraits that it lacks.

use rpc_runtime::{Result, rpc_service};

trait Named {
    fn name(&self) -> String;

    // The same name as in the service: the expansion is unambiguous.
    fn buy(&self) -> u32;
}

#[rpc_service]
trait Shop: Named + Send {
    async fn greet(&self) -> Result<String> {
        Ok(format!("welcome to {}", self.name()))
    }

    async fn buy(&self, item: &str) -> Result<u32>;
}

/// Every client implements these supertraits.
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
