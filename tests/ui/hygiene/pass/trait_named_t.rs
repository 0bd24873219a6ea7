//! The generated type parameter does not collide with a trait named `T`.

use rpc_runtime::{Result, RpcError, rpc_service};

#[rpc_service]
trait T {
    async fn buy(&self) -> Result<u32, E>;
}

#[derive(Debug, RpcError)]
enum E {
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

struct Corner;

impl T for Corner {
    async fn buy(&self) -> Result<u32, E> {
        Ok(1)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_eq!(TClient::local(Corner).buy().await.unwrap(), 1);
}
