use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, item: Box<dyn std::fmt::Display + Send>) -> Result<u32>;
}

fn main() {}
