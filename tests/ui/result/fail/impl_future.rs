use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self) -> impl Future<Output = Result<u32>>;
}

fn main() {}
