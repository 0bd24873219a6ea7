use rpc_runtime::prelude::*;

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Count(u32);

#[rpc_service]
trait Shop {
    async fn buy(&self, #[rpc(default = "many")] count: Count) -> Result<u32>;
    async fn sell(&self, #[rpc(default = 20)] item: &str) -> Result<u32>;
    async fn find(&self, #[rpc(default = missing())] item: u32) -> Result<u32>;
}

fn main() {}
