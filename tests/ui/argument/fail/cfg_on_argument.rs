use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, #[cfg(unix)] item: &str) -> Result<u32>;
}

fn main() {}
