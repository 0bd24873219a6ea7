use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, items: Vec<&str>, pair: (&str, u32), list: &[&str]) -> Result<u32>;
}

fn main() {}
