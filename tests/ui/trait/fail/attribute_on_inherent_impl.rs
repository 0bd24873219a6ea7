use rpc_runtime::rpc_service;

struct Shop;

#[rpc_service]
impl Shop {
    fn open(&self) {}
}

trait Kiosk {
    fn open(&self);
}

#[rpc_service(package = "shop.v1")]
impl Kiosk for Shop {
    fn open(&self) {}
}

fn main() {}
