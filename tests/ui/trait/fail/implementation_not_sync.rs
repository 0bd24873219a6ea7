use std::cell::Cell;

use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, item: &str) -> Result<u32>;
}

struct Corner {
    sold: Cell<u32>,
}

impl Shop for Corner {
    async fn buy(&self, _item: &str) -> Result<u32> {
        Ok(self.sold.get())
    }
}

fn main() {}
