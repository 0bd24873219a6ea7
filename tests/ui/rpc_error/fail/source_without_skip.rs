//! A source of another crate, which cannot be sent.

use rpc_runtime::RpcError;

#[derive(Debug, thiserror::Error, RpcError)]
enum ShopError {
    #[error("disk")]
    #[rpc(code = "unavailable")]
    Store(#[from] std::io::Error),
    #[error("{0}")]
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

fn main() {}
