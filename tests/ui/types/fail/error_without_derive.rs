use rpc_runtime::{Result, rpc_service};

#[derive(Debug)]
pub enum ShopError {
    Closed,
}

#[rpc_service]
trait Shop {
    async fn buy(&self) -> Result<u32, ShopError>;
}

fn main() {}
