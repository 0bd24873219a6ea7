//! `Arc<T>` implements the trait, with each form of argument and with the context; methods have
//! constants. A trait with a supertrait that `Arc` lacks has no implementation for it.

use std::sync::Arc;

use rpc_runtime::prelude::*;

#[rpc_service(package = "shop.v1")]
pub trait Shop: Clone + std::fmt::Debug {
    async fn buy(&self, ctx: &Context, item: &str, counts: &[u32], note: Option<&str>) -> Result<u32>;
    #[deprecated]
    async fn r#type(&self) -> Result<String> {
        Ok("shop".to_owned())
    }
    #[cfg(any())]
    async fn never(&self, missing: Missing) -> Result<()>;
    /// A name that is its own constant.
    #[allow(non_snake_case)]
    async fn STOCK(&self) -> Result<u32>;
}

#[derive(Clone, Debug)]
struct Corner;

impl Shop for Corner {
    async fn buy(&self, _: &Context, _: &str, counts: &[u32], _: Option<&str>) -> Result<u32> {
        Ok(counts.iter().sum())
    }
    async fn STOCK(&self) -> Result<u32> {
        Ok(3)
    }
}

trait Named {
    fn name(&self) -> String;
}

#[rpc_service]
trait Own: Named {
    async fn hello(&self) -> Result<String>;
}

impl Named for Corner {
    fn name(&self) -> String {
        "corner".to_owned()
    }
}

impl Own for Corner {
    async fn hello(&self) -> Result<String> {
        Ok(self.name())
    }
}

/// A program may implement it then.
impl Named for Arc<Corner> {
    fn name(&self) -> String {
        "arc".to_owned()
    }
}

impl Own for Arc<Corner> {
    async fn hello(&self) -> Result<String> {
        Ok(self.name())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let shop = ShopClient::local(Arc::new(Arc::new(Corner)));
    assert_eq!(shop.buy("tea", &[1, 2], None).await.unwrap(), 3);
    assert_eq!(shop.STOCK().await.unwrap(), 3);
    assert_eq!(ShopServer::BUY, "shop.v1.Shop/Buy");
    assert_eq!(ShopServer::TYPE, "shop.v1.Shop/Type");
    assert_eq!(OwnClient::local(Arc::new(Corner)).hello().await.unwrap(), "arc");
}
