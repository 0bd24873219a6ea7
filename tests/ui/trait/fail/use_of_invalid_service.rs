use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, item: &mut String) -> Result<u32>;
}

struct Corner;

impl Shop for Corner {
    async fn buy(&self, _item: &mut String) -> Result<u32> {
        Ok(1)
    }
}

fn main() {
    let _server = ShopServer::new(Corner);
    let _client: ShopClient = ShopClient::local(Corner);
}
