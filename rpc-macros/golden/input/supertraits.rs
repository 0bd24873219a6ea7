#[rpc_service(package = "shop.v1")]
pub trait Described: Describe + Clone {
    #[rpc(no_side_effects)]
    async fn describe(&self, #[rpc(default)] depth: u8) -> Result<String>;

    async fn log_in(&self, name: &str, #[rpc(secret)] password: &str) -> Result<Token>;
}
