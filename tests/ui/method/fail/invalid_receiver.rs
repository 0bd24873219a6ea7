use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Nothing {
    async fn buy(item: &str) -> Result<u32>;
}

#[rpc_service]
trait Mutable {
    async fn buy(&mut self, item: &str) -> Result<u32>;
}

#[rpc_service]
trait Owned {
    async fn buy(self, item: &str) -> Result<u32>;
}

#[rpc_service]
trait Typed {
    async fn buy(self: std::sync::Arc<Self>, item: &str) -> Result<u32>;
}

#[rpc_service]
trait Lifetime {
    async fn buy(&'static self, item: &str) -> Result<u32>;
}

fn main() {}
