use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, _: String) -> Result<u32>;
}

fn main() {}
