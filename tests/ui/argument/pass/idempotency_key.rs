//! A key may be borrowed or owned, at any position, with any name.

use rpc_runtime::descriptor::{Idempotency, MethodDescriptor};
use rpc_runtime::prelude::*;
use rpc_runtime::registry;

#[rpc_service(package = "shop.v1")]
trait Till {
    async fn charge(&self, #[rpc(idempotency_key)] key: &str, cents: u64) -> Result<u64>;
    #[rpc(timeout = "2s")]
    async fn refund(
        &self,
        ctx: &Context,
        cents: u64,
        #[rpc(idempotency_key)] r#ref: std::string::String,
    ) -> Result<u64>;
    async fn look(&self) -> Result<u64>;
}

fn keyed(method: &MethodDescriptor) -> (Option<&str>, bool) {
    let key = match method.idempotency {
        Idempotency::Keyed { argument } => Some(argument),
        _ => None,
    };
    (key, method.detached)
}

fn main() {
    // The registry also contains the services of the runtime.
    let service = registry::services().find(|service| service.name == "Till").unwrap();
    assert_eq!(keyed(&service.methods[0]), (Some("key"), true));
    assert_eq!(keyed(&service.methods[1]), (Some("ref"), true));
    assert_eq!(keyed(&service.methods[2]), (None, false));
}
