#[rpc_service(package = "shop.v1")]
pub trait Counter {
    async fn add(&self, by: u64) -> Result<u64>;

    async fn increment(&self) -> Result<u64> {
        let one = 1;
        self.add(one).await
    }
}
