use rpc_runtime::{Result, rpc_service};

#[rpc_service(package = "shop-v1")]
trait Package {
    async fn buy(&self, item: &str) -> Result<u32>;
}

#[rpc_service(name = "The Name")]
trait Name {
    async fn buy(&self, item: &str) -> Result<u32>;
}

#[rpc_service(endpoint = "http://shop")]
trait Endpoint {
    async fn buy(&self, item: &str) -> Result<u32>;
}

#[rpc_service]
trait Method {
    #[rpc(name = "buy-it")]
    async fn buy(&self, item: &str) -> Result<u32>;
}

#[rpc_service]
trait Umlaut {
    async fn größe(&self) -> Result<u32>;
}

fn main() {}
