use rpc_runtime::{Result, rpc_service};

pub struct Context;

#[rpc_service]
trait Shop {
    async fn buy(&self, ctx: &Context, item: &str) -> Result<u32>;
}

fn main() {}
