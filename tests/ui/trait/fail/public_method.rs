use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    pub async fn buy(&self, item: &str) -> Result<u32>;
}

fn main() {}
