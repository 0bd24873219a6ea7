use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Parameter {
    async fn buy<T: Clone>(&self, item: T) -> Result<u32>;
}

#[rpc_service]
trait Lifetime {
    async fn buy<'a>(&self, item: &'a str) -> Result<u32>;
}

#[rpc_service]
trait Clause {
    async fn buy(&self, item: &str) -> Result<u32>
    where
        Self: Sized;
}

fn main() {}
