//! The codec of the runtime is implemented for tuples of up to twelve elements.
#![deny(warnings)]

use rpc_runtime::{Context, Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn none(&self) -> Result<()>;

    #[allow(clippy::too_many_arguments)]
    async fn twelve(
        &self,
        ctx: &Context,
        a: u8,
        b: u8,
        c: u8,
        d: u8,
        e: u8,
        f: u8,
        g: u8,
        h: u8,
        i: u8,
        j: u8,
        k: u8,
        l: u8,
    ) -> Result<[u8; 12]>;
}

struct Corner;

impl Shop for Corner {
    async fn none(&self) -> Result<()> {
        Ok(())
    }

    async fn twelve(
        &self,
        _ctx: &Context,
        a: u8,
        b: u8,
        c: u8,
        d: u8,
        e: u8,
        f: u8,
        g: u8,
        h: u8,
        i: u8,
        j: u8,
        k: u8,
        l: u8,
    ) -> Result<[u8; 12]> {
        Ok([a, b, c, d, e, f, g, h, i, j, k, l])
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let client = ShopClient::local(Corner);
    client.none().await.unwrap();
    let all = client.twelve(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12).await.unwrap();
    assert_eq!(all, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
}
