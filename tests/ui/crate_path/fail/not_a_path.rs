use rpc_runtime::prelude::*;

#[rpc_service(crate = "rpc-runtime")]
trait Shop {
    async fn buy(&self) -> Result<u32>;
}

#[derive(Debug, RpcError)]
#[rpc(crate = "")]
enum ShopError {
    #[rpc(other)]
    Other(Error),
}

fn main() {}
