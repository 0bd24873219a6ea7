use rpc_runtime::{Code, RpcError};

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(code = "not_fund")]
    NoItem,
    #[rpc(code = Code::Gone)]
    Gone,
    #[rpc(code = 404)]
    Missing,
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

fn main() {}
