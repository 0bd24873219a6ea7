use rpc_runtime::{Result, rpc_service};

#[rpc_service]
unsafe trait Shop {
    async fn buy(&self, item: &str) -> Result<u32>;
}

fn main() {}
