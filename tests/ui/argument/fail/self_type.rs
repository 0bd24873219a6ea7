use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, other: Vec<Self>) -> Result<u32>;
}

fn main() {}
