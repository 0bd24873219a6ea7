use rpc_runtime::prelude::*;

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(crate = "rpc_runtime", other)]
    Other(Error),
}

#[derive(Debug, RpcError)]
#[rpc(krate = "rpc_runtime")]
enum OtherError {
    #[rpc(other)]
    Other(Error),
}

#[derive(Debug, RpcError)]
#[rpc]
enum EmptyError {
    #[rpc(other)]
    Other(Error),
}

fn main() {}
