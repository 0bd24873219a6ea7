use rpc_runtime::{Result, rpc_service};

#[derive(serde::Serialize)]
pub struct Item;

#[rpc_service]
trait Shop {
    async fn buy(&self, item: Item) -> Result<u32>;
}

fn main() {}
