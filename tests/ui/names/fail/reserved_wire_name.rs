use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    #[rpc(name = "Ping")]
    async fn alive(&self) -> Result<()>;
}

fn main() {}
