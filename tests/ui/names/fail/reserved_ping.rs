use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn ping(&self) -> Result<()>;
}

fn main() {}
