use rpc_runtime::prelude::*;

#[rpc_service]
trait Shop {
    async fn buy(&self, #[rpc(default(20))] count: u32) -> Result<u32>;
    async fn pay(&self, #[rpc(idempotency_key, default = "key")] key: &str) -> Result<u32>;
}

fn main() {}
