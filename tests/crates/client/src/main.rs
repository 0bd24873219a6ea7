//! Calls the shop at the URL given as the first argument.

use contracts::{Item, ShopClient, ShopError};
use rpc_runtime::{Code, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::args().nth(1).expect("the URL of a server");
    let shop = ShopClient::connect(&url)?;

    let name = "tea".to_owned();
    assert_eq!(
        shop.buy("tea").await.expect("an item"),
        Item { name, cents: 350 }
    );
    assert_eq!(shop.stock().await?, 7);
    assert_eq!(shop.ping().await?.service, "shop.v1.Shop");

    let error = shop.buy("coffee").await.expect_err("the shop has only tea");
    assert_eq!(error.code(), Code::NotFound);
    assert!(matches!(&*error, ShopError::NoItem { name } if name == "coffee"));
    assert!(!error.hops().is_empty(), "{error:?}");

    // Without the feature `tls` there is no https.
    let error = ShopClient::connect("https://localhost").expect_err("plain http only");
    assert!(error.message().contains("`tls`"), "{error}");
    println!("the client has called the server");
    Ok(())
}
