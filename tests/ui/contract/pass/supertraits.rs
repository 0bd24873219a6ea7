//! The developer's supertraits are kept. A client has none of them, so it does not implement such a trait.

use rpc_runtime::{Result, rpc_service};

trait Named {
    fn name(&self) -> String;
}

#[rpc_service]
trait Shop: Named + Send {
    async fn greet(&self) -> Result<String> {
        Ok(format!("welcome to {}", self.name()))
    }
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
}

impl Shop for Corner {}

fn is_copied(_: &impl Copied) {}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_eq!(ShopClient::local(Corner).greet().await.unwrap(), "welcome to the corner");
    is_copied(&CopiedClient::connect("http://127.0.0.1:9").unwrap());
}
