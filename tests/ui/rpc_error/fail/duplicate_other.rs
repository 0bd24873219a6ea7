use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(other)]
    Other(rpc_runtime::Error),
    #[rpc(other)]
    Rest(rpc_runtime::Error),
}

fn main() {}
