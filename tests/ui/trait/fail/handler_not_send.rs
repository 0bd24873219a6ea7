use std::rc::Rc;

use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn buy(&self, item: &str) -> Result<u32>;
}

struct Corner;

impl Shop for Corner {
    async fn buy(&self, item: &str) -> Result<u32> {
        let price = Rc::new(item.len() as u32);
        std::future::ready(()).await;
        Ok(*price)
    }
}

fn main() {}
