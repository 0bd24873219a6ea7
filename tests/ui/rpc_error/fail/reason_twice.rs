use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(code = "not_found")]
    NoItem,
    #[rpc(code = "internal", reason = "NO_ITEM")]
    Lost,
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

fn main() {}
