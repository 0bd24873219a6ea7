use rpc_runtime::prelude::*;

#[rpc_service(crate = "nowhere")]
trait Shop {
    async fn buy(&self) -> Result<u32>;
}

#[derive(Debug, RpcError)]
#[rpc(crate = "::nowhere")]
enum ShopError {
    #[rpc(other)]
    Other(Error),
}

fn main() {}
