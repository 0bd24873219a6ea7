//! `String` is the standard library's. That somebody has another one, only the compiler sees.

use rpc_runtime::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct String(u8);

#[rpc_service]
trait Till {
    async fn charge(&self, #[rpc(idempotency_key)] key: String) -> Result<()>;
}

fn main() {}
