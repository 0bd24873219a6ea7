//! Arguments may have the names of variables in the expansion.

use rpc_runtime::{Context, Result, rpc_service};

#[rpc_service]
trait Shop {
    #[allow(clippy::too_many_arguments)]
    async fn server_side(&self, service: u8, context: u8, routes: u8, args: u8, arguments: u8, method: u8, handler: u8) -> Result<u64>;

    async fn client_side(&self, client: u8, request: u8, body: u8, call: u8, self_: u8, this: u8, url: u8) -> Result<u64>;

    async fn inside(&self, ctx: &Context, rpc: u8, __rpc: u8, f: u8, future: u8, error: u8, ok: u8) -> Result<u64>;

    async fn types(&self, u8: u8, str: &str, bool: Option<&str>) -> Result<u64>;
}

struct Sums;

impl Shop for Sums {
    async fn server_side(&self, service: u8, context: u8, routes: u8, args: u8, arguments: u8, method: u8, handler: u8) -> Result<u64> {
        Ok([service, context, routes, args, arguments, method, handler].iter().copied().map(u64::from).sum())
    }

    async fn client_side(&self, client: u8, request: u8, body: u8, call: u8, self_: u8, this: u8, url: u8) -> Result<u64> {
        Ok([client, request, body, call, self_, this, url].iter().copied().map(u64::from).sum())
    }

    async fn inside(&self, _: &Context, rpc: u8, __rpc: u8, f: u8, future: u8, error: u8, ok: u8) -> Result<u64> {
        Ok([rpc, __rpc, f, future, error, ok].iter().copied().map(u64::from).sum())
    }

    async fn types(&self, u8: u8, str: &str, bool: Option<&str>) -> Result<u64> {
        Ok(u64::from(u8) + str.len() as u64 + bool.map_or(0, str::len) as u64)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let client = ShopClient::local(Sums);
    assert_eq!(client.server_side(1, 2, 4, 8, 16, 32, 64).await.unwrap(), 127);
    assert_eq!(client.client_side(1, 2, 4, 8, 16, 32, 64).await.unwrap(), 127);
    assert_eq!(client.inside(1, 2, 4, 8, 16, 32).await.unwrap(), 63);
    assert_eq!(client.types(1, "ab", Some("cde")).await.unwrap(), 6);
}
