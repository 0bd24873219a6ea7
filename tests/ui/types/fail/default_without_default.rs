use rpc_runtime::{Result, rpc_service};

#[derive(serde::Serialize, serde::Deserialize)]
pub struct Item;

#[rpc_service]
trait Shop {
    async fn buy(&self, #[rpc(default)] item: Item) -> Result<u32>;
}

fn main() {}
