//! `?` on errors without a code.

use rpc_runtime::prelude::*;

#[rpc_service]
trait Shop {
    async fn price(&self, item: &str) -> Result<u32>;
}

struct Corner;

impl Shop for Corner {
    async fn price(&self, item: &str) -> Result<u32> {
        let text = std::fs::read_to_string(item)?;
        Ok(text.parse()?)
    }
}

fn main() {}
