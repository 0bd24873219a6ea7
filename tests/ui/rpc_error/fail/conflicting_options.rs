use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
enum StoreError {
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

#[derive(Debug, RpcError)]
enum Both {
    #[rpc(from, other)]
    Other(rpc_runtime::Error),
}

#[derive(Debug, RpcError)]
enum WithCode {
    #[rpc(from, code = "internal", public)]
    Store(StoreError),
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

#[derive(Debug, RpcError)]
enum Twice {
    #[rpc(from)]
    Store(StoreError),
    #[rpc(from)]
    Shelf(StoreError),
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

fn main() {}
