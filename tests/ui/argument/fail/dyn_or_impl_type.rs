use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Impl {
    async fn buy(&self, item: impl AsRef<str>) -> Result<u32>;
}

#[rpc_service]
trait Borrowed {
    async fn buy(&self, item: &dyn std::fmt::Display) -> Result<u32>;
}

#[rpc_service]
trait Boxed {
    async fn buy(&self, item: Box<dyn std::fmt::Display + Send>) -> Result<u32>;
}

fn main() {}
