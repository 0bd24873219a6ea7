use rpc_runtime::{Result, rpc_service};

#[rpc_service(message)]
trait Shop {
    async fn close(&self) -> Result<()>;
}

fn main() {}
