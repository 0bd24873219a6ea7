use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    #[rpc(no_side_effects)]
    async fn buy(&self, #[rpc(secret)] card: &str) -> Result<u32>;
}

fn main() {}
