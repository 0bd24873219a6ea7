//! A key must be one required string, and conflicts with options that make keys unnecessary.

use rpc_runtime::prelude::*;

#[rpc_service]
trait Till {
    async fn two(&self, #[rpc(idempotency_key)] a: &str, #[rpc(idempotency_key)] b: &str) -> Result<()>;
    async fn number(&self, #[rpc(idempotency_key)] key: u64) -> Result<()>;
    async fn optional(&self, #[rpc(idempotency_key)] key: Option<&str>) -> Result<()>;
    async fn borrowed(&self, #[rpc(idempotency_key)] key: &String) -> Result<()>;
    async fn default(&self, #[rpc(idempotency_key, default)] key: String) -> Result<()>;
    async fn secret(&self, #[rpc(idempotency_key, secret)] key: &str) -> Result<()>;
    #[rpc(no_side_effects)]
    async fn reads(&self, #[rpc(idempotency_key)] key: &str) -> Result<()>;
    #[rpc(idempotent)]
    async fn sets(&self, #[rpc(idempotency_key)] key: &str) -> Result<()>;
    #[rpc(detached)]
    async fn detached(&self, #[rpc(idempotency_key)] key: &str) -> Result<()>;
    #[rpc(message)]
    async fn message(&self, #[rpc(idempotency_key)] key: Charge) -> Result<Charge>;
    async fn context(&self, #[rpc(idempotency_key)] context: &Context) -> Result<()>;
    async fn valued(&self, #[rpc(idempotency_key = "key")] key: &str) -> Result<()>;
    async fn shared(&self, #[rpc(idempotency_key(all))] key: &str) -> Result<()>;
    #[rpc(idempotency_key)]
    async fn misplaced(&self, key: &str) -> Result<()>;
}

struct Charge;

fn main() {}
