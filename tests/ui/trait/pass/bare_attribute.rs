//! By default, the package is the crate name and the endpoint is the trait name in lower snake
//! case.

use rpc_runtime::{Result, rpc_service};

/// Keeps users.
#[rpc_service]
trait UserStore {
    async fn exists(&self, name: &str) -> Result<bool>;
}

fn main() {
    let all: Vec<_> = rpc_runtime::registry::services().collect();
    let service = all.iter().find(|service| service.name == "UserStore").unwrap();
    assert_eq!(service.full_name, format!("{}.UserStore", service.package));
    assert_eq!((service.endpoint, service.docs), ("user_store", "Keeps users."));
    let methods: Vec<_> = service.methods.iter().map(|method| method.wire_name).collect();
    assert_eq!(methods, ["Exists", "Ping"]);
}
