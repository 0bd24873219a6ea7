use rpc_runtime::{Result, Streaming, rpc_service};

struct NotSerde;

#[rpc_service]
trait Shop {
    async fn watch(&self) -> Result<Streaming<NotSerde>>;
    async fn buy(&self, items: Streaming<NotSerde>) -> Result<u32>;
    async fn fails(&self) -> Result<Streaming<u32, String>>;
}

fn main() {}
