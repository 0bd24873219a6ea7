use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
enum Two {
    #[rpc(other)]
    Other(rpc_runtime::Error, String),
}

#[derive(Debug, RpcError)]
enum Nothing {
    #[rpc(other)]
    Other,
}

#[derive(Debug, RpcError)]
enum Text {
    #[rpc(other)]
    Other(String),
}

#[derive(Debug, RpcError)]
enum Skipped {
    #[rpc(other)]
    Other(#[rpc(skip)] rpc_runtime::Error),
}

#[derive(Debug, RpcError)]
enum WithCode {
    #[rpc(other, code = "internal", reason = "OTHER")]
    Other(rpc_runtime::Error),
}

fn main() {}
