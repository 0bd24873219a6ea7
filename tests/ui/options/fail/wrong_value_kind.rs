use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Missing {
    #[rpc(timeout)]
    async fn buy(&self, item: &str) -> Result<u32>;
}

#[rpc_service]
trait Number {
    #[rpc(timeout = 2)]
    async fn buy(&self, item: &str) -> Result<u32>;
}

#[rpc_service]
trait List {
    #[rpc(timeout(2))]
    async fn buy(&self, item: &str) -> Result<u32>;
}

#[rpc_service]
trait Flag {
    #[rpc(idempotent = true)]
    async fn buy(&self, item: &str) -> Result<u32>;
}

#[rpc_service(ping)]
trait Switch {
    async fn buy(&self, item: &str) -> Result<u32>;
}

fn main() {}
