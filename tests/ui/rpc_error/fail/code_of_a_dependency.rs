use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
enum StoreError {
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(from, code = "internal", public)]
    Store(StoreError),
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

fn main() {}
