use rpc_runtime::RpcError;

#[derive(Debug)]
struct Item;

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(code = "not_found")]
    NoItem { item: Item },
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

fn main() {}
