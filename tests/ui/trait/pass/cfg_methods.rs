//! A method under a false `#[cfg]` is removed everywhere, so its types need not exist.

use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self) -> Result<u32>;

    #[cfg(any())]
    async fn sell(&self, item: NoSuchType) -> Result<NoSuchType>;

    #[cfg_attr(all(), cfg(any()), doc = "Never.")]
    async fn lend(&self, item: NoSuchType) -> Result<NoSuchType>;

    #[cfg(not(any()))]
    async fn path(&self, path: &str) -> Result<usize>;

    #[cfg(any())]
    async fn path(&self, path: NoSuchType) -> Result<usize>;
}

struct Corner;

impl Shop for Corner {
    async fn buy(&self) -> Result<u32> {
        Ok(1)
    }

    async fn path(&self, path: &str) -> Result<usize> {
        Ok(path.len())
    }
}

/// The `#[cfg]` may be on the whole service.
#[rpc_service]
#[cfg(any())]
trait Gone {
    async fn buy(&self, item: NoSuchType) -> Result<u32>;
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let client = ShopClient::local(Corner);
    assert_eq!((client.buy().await.unwrap(), client.path("/").await.unwrap()), (1, 1));
    let service = rpc_runtime::registry::services().find(|service| service.name == "Shop").unwrap();
    assert_eq!(service.methods.len(), 3, "and Ping");
    assert!(rpc_runtime::registry::services().all(|service| service.name != "Gone"));
}
