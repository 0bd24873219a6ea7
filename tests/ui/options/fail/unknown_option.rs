use rpc_runtime::{Result, rpc_service};

#[rpc_service(pakage = "shop.v1")]
trait OnAService {
    async fn buy(&self, item: &str) -> Result<u32>;
}

#[rpc_service]
trait OnAMethod {
    #[rpc(noSideEffects, cache)]
    async fn buy(&self, item: &str) -> Result<u32>;
}

#[rpc_service]
trait OnAnArgument {
    async fn buy(&self, #[rpc(secert)] card: &str) -> Result<u32>;
}

fn main() {}
