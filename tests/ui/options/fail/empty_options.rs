use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    #[rpc]
    async fn buy(&self, item: &str) -> Result<u32>;
}

fn main() {}
