use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self) -> Result<Box<dyn std::fmt::Display>>;
}

fn main() {}
