use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    #[rpc(no_side_effects, get = "/items/{id}", post = "/items/{id}/find")]
    async fn find(&self, id: u32) -> Result<u32>;

    #[rpc(post = "/items")]
    async fn add(&self, r#type: &str) -> Result<u32>;

    #[rpc(no_side_effects, get = "/types/{type}/v1.0/~all")]
    async fn list(&self, r#type: &str) -> Result<u32>;

    #[cfg(unix)]
    #[rpc(no_side_effects, get = "/os")]
    async fn os(&self) -> Result<u32>;

    #[cfg(not(unix))]
    #[rpc(no_side_effects, get = "/os")]
    async fn os(&self) -> Result<u32>;
}

fn main() {
    let mut services = rpc_runtime::registry::services();
    let service = services.find(|service| service.name == "Shop").unwrap();
    assert_eq!(service.methods[0].http_get, Some("/items/{id}"));
    assert_eq!(service.methods[0].http_post, Some("/items/{id}/find"));
}
