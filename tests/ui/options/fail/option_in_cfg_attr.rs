use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    #[cfg_attr(unix, rpc(idempotent))]
    async fn buy(&self, item: &str) -> Result<u32>;
}

fn main() {}
