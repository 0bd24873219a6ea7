//! A service trait, its message and its error. Compiles with neither side of the runtime.

use rpc_runtime::{Result, RpcError, rpc_service};
use serde::{Deserialize, Serialize};

/// Sells items.
#[rpc_service(package = "shop.v1")]
pub trait Shop {
    /// Buys one item.
    #[rpc(idempotent)]
    async fn buy(&self, name: &str) -> Result<Item, ShopError>;

    /// Returns the number of items in stock.
    async fn stock(&self) -> Result<u32>;
}

/// An item of the shop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The name of the item.
    pub name: String,
    /// The price of the item.
    pub cents: u64,
}

/// An error of [`Shop::buy`].
#[derive(Debug, RpcError)]
pub enum ShopError {
    /// The shop does not sell the item.
    #[rpc(code = "not_found")]
    NoItem {
        /// The requested name.
        name: String,
    },
    /// Any other error.
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use rpc_runtime::Code;

    #[test]
    fn the_service_is_in_the_registry() {
        let shop = rpc_runtime::registry::services()
            .find(|service| service.full_name == "shop.v1.Shop")
            .expect("the service of this crate");
        let methods: Vec<&str> = shop.methods.iter().map(|method| method.wire_name).collect();
        assert_eq!(methods, ["Buy", "Stock", "Ping"]);
    }

    #[test]
    fn errors_keep_their_type() {
        let name = "tea".to_owned();
        let error = ShopError::NoItem { name }.into_error();
        assert_eq!(error.code(), Code::NotFound);
        assert!(matches!(
            ShopError::from_error(&error),
            ShopError::NoItem { name } if name == "tea"
        ));
    }
}
