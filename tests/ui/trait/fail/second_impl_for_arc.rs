//! `Arc<T>` implements the trait where `T` does.

use std::sync::Arc;

use rpc_runtime::prelude::*;

#[rpc_service]
trait Shop {
    async fn buy(&self) -> Result<u32>;
}

struct Corner;

impl Shop for Corner {
    async fn buy(&self) -> Result<u32> {
        Ok(1)
    }
}

impl Shop for Arc<Corner> {
    async fn buy(&self) -> Result<u32> {
        Ok(1)
    }
}

fn main() {}
