use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(code = "not_found", reason = "no_item")]
    NoItem,
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

fn main() {}
