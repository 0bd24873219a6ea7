//! F04: `User instance has no attribute 'credit'`: an unknown user was an object without fields.

use rpc_runtime::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct User {
    credit: u64,
}

#[rpc_service]
trait UserStore {
    async fn get_user(&self, username: &str) -> Result<Option<User>>;
}

async fn credit(userstore: UserStoreClient, username: &str) -> Result<u64> {
    Ok(userstore.get_user(username).await?.credit)
}

fn main() {}
