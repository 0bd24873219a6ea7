use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait OnTheWire {
    async fn buy(&self, item: &str) -> Result<u32>;

    #[rpc(name = "Buy")]
    async fn purchase(&self, item: &str) -> Result<u32>;
}

#[rpc_service]
#[allow(non_snake_case)]
trait InTheExpansion {
    async fn buy(&self, item: &str) -> Result<u32>;

    #[rpc(name = "BuyNow")]
    async fn BUY(&self, item: &str) -> Result<u32>;
}

fn main() {}
