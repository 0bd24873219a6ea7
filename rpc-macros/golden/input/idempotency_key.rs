#[rpc_service(package = "shop.v1")]
pub trait Till {
    /// Takes money, once for each key.
    async fn charge(&self, #[rpc(idempotency_key)] key: &str, cents: u64) -> Result<u64>;
    async fn refund(&self, cents: u64, #[rpc(idempotency_key)] r#ref: String) -> Result<()>;
}
