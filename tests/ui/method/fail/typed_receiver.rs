use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(self: std::sync::Arc<Self>, item: &str) -> Result<u32>;
}

fn main() {}
