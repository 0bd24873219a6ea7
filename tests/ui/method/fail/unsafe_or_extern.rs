use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Unsafe {
    async unsafe fn buy(&self, item: &str) -> Result<u32>;
}

#[rpc_service]
trait Abi {
    async extern "C" fn buy(&self, item: &str) -> Result<u32>;
}

fn main() {}
