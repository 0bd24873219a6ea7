use rpc_runtime::{Context, Result, rpc_service};

#[rpc_service]
trait NotFirst {
    async fn buy(&self, item: &str, ctx: &Context) -> Result<u32>;
}

#[rpc_service]
trait ByValue {
    async fn buy(&self, ctx: Context, item: &str) -> Result<u32>;
}

#[rpc_service]
trait WithOptions {
    async fn buy(&self, #[rpc(secret)] ctx: &Context, item: &str) -> Result<u32>;
}

fn main() {}
