use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, basket: &mut Vec<String>) -> Result<u32>;
}

fn main() {}
