use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, item: &str) -> Result<u32>;

    async fn sell(&self, item: &str) -> Result<u32>;
}

struct Corner;

impl Shop for Corner {
    async fn buy(&self, _item: &str) -> Result<u32> {
        Ok(1)
    }
}

fn main() {}
