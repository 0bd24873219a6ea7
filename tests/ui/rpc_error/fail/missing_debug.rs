use rpc_runtime::RpcError;

#[derive(RpcError)]
enum ShopError {
    #[rpc(code = "not_found")]
    NoItem,
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

fn main() {}
