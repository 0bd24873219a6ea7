use rpc_runtime::RpcError;

#[derive(RpcError)]
union ShopError {
    code: u32,
    kind: u32,
}

fn main() {}
