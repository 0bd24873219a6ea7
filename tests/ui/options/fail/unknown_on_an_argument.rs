use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, #[rpc(secert)] card: &str) -> Result<u32>;
}

fn main() {}
