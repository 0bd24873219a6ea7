use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Two {
    #[rpc(message)]
    async fn buy(&self, item: String, count: u32) -> Result<u32>;
}

#[rpc_service(message)]
trait Nothing {
    async fn close(&self) -> Result<()>;
}

#[rpc_service]
trait Text {
    #[rpc(message)]
    async fn buy(&self, item: &str) -> Result<u32>;
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
pub struct Item {}

#[rpc_service]
trait WithOptions {
    #[rpc(message)]
    async fn buy(&self, #[rpc(default)] item: Item) -> Result<u32>;
}

fn main() {}
