use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, item: *const u8, then: fn(u32) -> u32) -> Result<u32>;
}

fn main() {}
