use rpc_runtime::{Result, rpc_service};

#[rpc_service]
#[allow(non_snake_case)]
trait Shop {
    async fn buy(&self, item_name: &str, itemName: &str) -> Result<u32>;
}

fn main() {}
