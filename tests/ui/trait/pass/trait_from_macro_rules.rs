//! Fragments of `macro_rules!`, which have invisible groups and other hygiene, are accepted.

macro_rules! shop {
    ($(#[$attribute:meta])* $visibility:vis $name:ident, $method:ident($argument:ident: $ty:ty) -> $ok:ty) => {
        $(#[$attribute])*
        #[rpc_runtime::rpc_service]
        $visibility trait $name {
            async fn $method(&self, $argument: $ty, count: u32) -> rpc_runtime::Result<$ok>;
        }
    };
}

shop!(
    /// Sells.
    pub(crate) Shop,
    buy(item: &str) -> String
);
shop!(Bank, pay(amounts: Option<&[u64]>) -> u64);

struct Corner;

impl Shop for Corner {
    async fn buy(&self, item: &str, count: u32) -> rpc_runtime::Result<String> {
        Ok(item.repeat(count as usize))
    }
}

impl Bank for Corner {
    async fn pay(&self, amounts: Option<&[u64]>, count: u32) -> rpc_runtime::Result<u64> {
        Ok(amounts.into_iter().flatten().sum::<u64>() + u64::from(count))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_eq!(ShopClient::local(Corner).buy("ab", 2).await.unwrap(), "abab");
    assert_eq!(BankClient::local(Corner).pay(Some(&[1, 2]), 3).await.unwrap(), 6);
}
