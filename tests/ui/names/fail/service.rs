use rpc_runtime::{Result, rpc_service};

#[rpc_service(name = "The Shop")]
trait Shop {
    async fn buy(&self, item: &str) -> Result<u32>;
}

fn main() {}
