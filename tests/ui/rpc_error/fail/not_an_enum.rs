use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
struct Struct {
    code: u32,
}

#[derive(RpcError)]
union Union {
    code: u32,
    kind: u32,
}

fn main() {}
