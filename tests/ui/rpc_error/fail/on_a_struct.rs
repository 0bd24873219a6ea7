use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
struct ShopError {
    code: u32,
}

fn main() {}
