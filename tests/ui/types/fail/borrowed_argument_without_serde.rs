use rpc_runtime::{Result, rpc_service};

pub struct Item;

#[rpc_service]
trait Shop {
    async fn buy(&self, items: &[Item], first: Option<&Item>) -> Result<u32>;
}

fn main() {}
