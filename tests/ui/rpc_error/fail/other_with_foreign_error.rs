use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(other)]
    Other(std::io::Error),
}

fn main() {}
