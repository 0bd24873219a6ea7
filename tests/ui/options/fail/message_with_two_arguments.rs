use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    #[rpc(message)]
    async fn buy(&self, item: String, count: u32) -> Result<u32>;
}

fn main() {}
