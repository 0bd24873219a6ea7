use rpc_runtime::{Result, rpc_service};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Order {
    id: u32,
}

#[rpc_service]
trait Shop {
    #[rpc(get = "/items/{id}")]
    async fn changes(&self, id: u32) -> Result<u32>;

    #[rpc(no_side_effects, get = "/a/{item}")]
    async fn unknown(&self, id: u32) -> Result<u32>;

    #[rpc(no_side_effects, get = "/b/{id}/{id}")]
    async fn twice(&self, id: u32) -> Result<u32>;

    #[rpc(no_side_effects, get = "/c/{id}")]
    async fn option(&self, id: Option<u32>) -> Result<u32>;

    #[rpc(no_side_effects, get = "/d/{ids}")]
    async fn list(&self, ids: &[u32]) -> Result<u32>;

    #[rpc(post = "/e/{token}")]
    async fn secret(&self, #[rpc(secret)] token: &str) -> Result<u32>;

    #[rpc(message, post = "/f/{id}")]
    async fn message(&self, order: Order) -> Result<u32>;

    #[rpc(message, no_side_effects, get = "/g")]
    async fn message_by_get(&self, order: Order) -> Result<u32>;

    #[rpc(no_side_effects, get = "/h/{name}")]
    async fn one(&self, name: &str) -> Result<u32>;

    #[rpc(no_side_effects, get = "/h/{id}")]
    async fn other(&self, id: u32) -> Result<u32>;
}

fn main() {}
