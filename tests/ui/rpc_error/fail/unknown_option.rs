use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(code = "not_found", pubic)]
    NoItem {
        #[rpc(skipped)]
        item: String,
    },
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

fn main() {}
