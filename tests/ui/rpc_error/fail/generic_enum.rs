use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
enum ShopError<T> {
    #[rpc(code = "internal")]
    Broken(T),
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

fn main() {}
