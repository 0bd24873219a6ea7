use rpc_runtime::{Result, rpc_service};

#[rpc_service(package = "shop.v1")]
trait Shop {
    #[rpc(no_side_effects, get = "items/{id}")]
    async fn no_slash(&self, id: u32) -> Result<u32>;

    #[rpc(no_side_effects, get = "/items//{id}/")]
    async fn empty_segment(&self, id: u32) -> Result<u32>;

    #[rpc(no_side_effects, get = "/items/item-{id}")]
    async fn half_capture(&self, id: u32) -> Result<u32>;

    #[rpc(no_side_effects, get = "/items/{*rest}")]
    async fn wildcard(&self, rest: &str) -> Result<u32>;

    #[rpc(no_side_effects, get = "/items?id={id}")]
    async fn query(&self, id: u32) -> Result<u32>;

    #[rpc(no_side_effects, get = "/healthz")]
    async fn probe(&self) -> Result<u32>;

    #[rpc(post = "/shop.v1.Shop/Other")]
    async fn form_of_a_method(&self) -> Result<u32>;

    #[rpc(post)]
    async fn no_path(&self) -> Result<u32>;
}

fn main() {}
