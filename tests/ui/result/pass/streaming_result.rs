use rpc_runtime::{Result, Streaming, rpc_service};

#[rpc_service]
trait Shop {
    async fn watch(&self) -> Result<Streaming<u32>>;
}

fn main() {}
