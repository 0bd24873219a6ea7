use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy<'a>(&self, item: &'a str) -> Result<u32>;
}

fn main() {}
