use rpc_runtime::{Result, Streaming, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, items: Streaming<String>) -> Result<u32>;
}

fn main() {}
