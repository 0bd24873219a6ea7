use rpc_runtime::rpc_service;

#[rpc_service(package = "shop.v1")]
struct Shop {
    stock: u32,
}

fn main() {}
