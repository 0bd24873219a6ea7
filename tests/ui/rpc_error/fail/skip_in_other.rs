use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(other)]
    Other(#[rpc(skip)] rpc_runtime::Error),
}

fn main() {}
