use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, item: &str) -> Result<u32>;
}

struct Corner;

fn main() {
    let _server = ShopServer::new(Corner);
    let _client = ShopClient::local(Corner);
}
