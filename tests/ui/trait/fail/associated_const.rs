use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    const LIMIT: u32 = 3;

    async fn buy(&self, item: &str) -> Result<u32>;
}

fn main() {}
