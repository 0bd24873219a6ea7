use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Tuple {
    async fn buy(&self, (item, count): (String, u32)) -> Result<u32>;
}

#[rpc_service]
trait Wildcard {
    async fn buy(&self, _: String) -> Result<u32>;
}

#[rpc_service]
trait Mutable {
    async fn buy(&self, mut item: String) -> Result<u32>;
}

fn main() {}
