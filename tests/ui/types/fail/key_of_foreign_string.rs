//! Another type named `String` is not accepted as a key; only the compiler can detect it.

use rpc_runtime::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct String(u8);

#[rpc_service]
trait Till {
    async fn charge(&self, #[rpc(idempotency_key)] key: String) -> Result<()>;
}

fn main() {}
