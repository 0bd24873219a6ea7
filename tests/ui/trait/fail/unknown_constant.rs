//! A method that was renamed.

use rpc_runtime::prelude::*;
use rpc_runtime::{Callers, Policy};

#[rpc_service]
trait Shop {
    async fn buy(&self) -> Result<u32>;
}

fn main() {
    drop(Policy::new().allow(ShopServer::SELL, Callers::anyone()));
}
