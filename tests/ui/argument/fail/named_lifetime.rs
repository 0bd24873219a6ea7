use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Named {
    async fn buy(&self, item: &'static str) -> Result<u32>;
}

#[rpc_service]
trait Elided {
    async fn buy(&self, item: std::borrow::Cow<'_, str>) -> Result<u32>;
}

fn main() {}
