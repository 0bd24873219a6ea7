use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Unitless {
    #[rpc(timeout = "2")]
    async fn buy(&self, item: &str) -> Result<u32>;
}

#[rpc_service]
trait Fraction {
    #[rpc(timeout = "1.5s")]
    async fn buy(&self, item: &str) -> Result<u32>;
}

#[rpc_service]
trait Zero {
    #[rpc(timeout = "0ms")]
    async fn buy(&self, item: &str) -> Result<u32>;
}

#[rpc_service]
trait TooLong {
    #[rpc(timeout = "6m")]
    async fn buy(&self, item: &str) -> Result<u32>;
}

fn main() {}
