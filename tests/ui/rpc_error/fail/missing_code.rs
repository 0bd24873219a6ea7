use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
enum ShopError {
    NoItem,
    #[rpc(reason = "CLOSED")]
    Closed,
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

fn main() {}
