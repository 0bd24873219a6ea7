use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn is_open(&self) -> bool;

    async fn names(&self) -> Vec<String>;

    async fn find(&self) -> Option<u32>;

    async fn close(&self) -> ();
}

fn main() {}
