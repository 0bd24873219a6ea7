use rpc_runtime::prelude::*;

#[rpc_service(crate = rpc_runtime)]
trait Shop {
    async fn buy(&self) -> Result<u32>;
}

#[rpc_service(crate)]
trait Other {
    async fn buy(&self) -> Result<u32>;
}

#[derive(Debug, RpcError)]
#[rpc(crate("rpc_runtime"))]
enum ShopError {
    #[rpc(other)]
    Other(Error),
}

fn main() {}
