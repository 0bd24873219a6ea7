use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self) -> Result<u32, String>;
}

fn main() {}
