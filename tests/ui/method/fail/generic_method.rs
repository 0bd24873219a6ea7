use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy<T: Clone>(&self, item: T) -> Result<u32>;
}

fn main() {}
