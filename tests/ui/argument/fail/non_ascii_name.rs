use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, größe: u32) -> Result<u32>;
}

fn main() {}
