#[rpc_service(package = "shop.v1", name = "Foreign", ping = false)]
pub trait Contract {
    #[rpc(name = "Ping")]
    async fn ping(&self, payload: Vec<u8>) -> Result<Vec<u8>>;
}
