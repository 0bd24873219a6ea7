use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn größe(&self) -> Result<u32>;
}

fn main() {}
