use rpc_runtime::{Context, Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, #[rpc(secret)] ctx: &Context, item: &str) -> Result<u32>;
}

fn main() {}
