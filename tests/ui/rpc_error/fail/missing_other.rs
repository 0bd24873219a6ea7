use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(code = "not_found")]
    NoItem,
}

fn main() {}
