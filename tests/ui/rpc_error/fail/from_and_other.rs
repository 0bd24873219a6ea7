use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(from, other)]
    Other(rpc_runtime::Error),
}

fn main() {}
