use rpc_runtime::{Context, Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, item: &str, ctx: &Context) -> Result<u32>;
}

fn main() {}
