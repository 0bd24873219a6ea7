use rpc_runtime::rpc_service;

type Price = u32;

#[rpc_service]
trait Shop {
    async fn buy(&self, item: &str) -> Price;
}

fn main() {}
