use rpc_runtime::RpcError;

#[derive(Debug, RpcError)]
enum Twice {
    #[rpc(code = "not_found")]
    NoItem,
    #[rpc(code = "internal", reason = "NO_ITEM")]
    Lost,
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

#[derive(Debug, RpcError)]
enum LowerCase {
    #[rpc(code = "not_found", reason = "no_item")]
    NoItem,
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

#[derive(Debug, RpcError)]
enum Umlaut {
    #[rpc(code = "not_found")]
    KeinStück,
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

fn main() {}
