//! B05: `AttributeError: 'function' object has no attribute 'get'`: a method without a call.

use rpc_runtime::prelude::*;

#[rpc_service]
trait UserStore {
    async fn credits(&self) -> Result<std::collections::BTreeMap<String, u64>>;
}

async fn credit(userstore: UserStoreClient, username: &str) -> Option<u64> {
    userstore.credits.get(username).copied()
}

fn main() {}
