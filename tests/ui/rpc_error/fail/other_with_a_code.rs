use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(other, code = "internal", reason = "OTHER")]
    Other(rpc_runtime::Error),
}

fn main() {}
