//! The output of `#[automock]` above `#[rpc_service]`: the attribute is copied to the mock.

use rpc_runtime::rpc_service;

#[rpc_service(package = "shop.v1")]
struct MockShop {
    buy: u32,
}

#[rpc_service(package = "shop.v1")]
impl MockShop {
    fn expect_buy(&mut self) {}
}

fn main() {}
