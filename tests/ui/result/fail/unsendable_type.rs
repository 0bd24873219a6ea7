use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Borrowed {
    async fn buy(&self, item: &str) -> Result<&str>;
}

#[rpc_service]
trait Boxed {
    async fn buy(&self) -> Result<Box<dyn std::fmt::Display>>;
}

#[rpc_service]
trait SelfType {
    async fn buy(&self) -> Result<Self>;
}

fn main() {}
