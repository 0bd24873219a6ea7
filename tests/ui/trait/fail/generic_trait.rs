use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop<T: Clone, const N: usize> {
    async fn buy(&self, item: &str) -> Result<u32>;
}

fn main() {}
