use rpc_runtime::{Result, rpc_service};

#[rpc_service(package = "shop-v1")]
trait Shop {
    async fn buy(&self, item: &str) -> Result<u32>;
}

fn main() {}
