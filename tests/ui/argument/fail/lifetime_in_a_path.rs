use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, item: std::borrow::Cow<'_, str>) -> Result<u32>;
}

fn main() {}
