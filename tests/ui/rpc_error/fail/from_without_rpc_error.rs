use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(from)]
    Store(std::io::Error),
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

fn main() {}
