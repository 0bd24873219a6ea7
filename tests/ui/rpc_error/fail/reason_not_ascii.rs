use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(code = "not_found")]
    KeinStück,
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

fn main() {}
