use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    #[rpc(timeout = 2)]
    async fn buy(&self, item: &str) -> Result<u32>;
}

fn main() {}
