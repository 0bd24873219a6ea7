use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, item: str, bytes: [u8]) -> Result<u32>;
}

fn main() {}
