use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
enum StoreError {
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(from)]
    Store(StoreError),
    #[rpc(from)]
    Shelf(StoreError),
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

fn main() {}
