#[rpc_service(package = "shop.v1")]
pub(crate) trait r#Kinds {
    async fn r#type(&self, r#match: &str, service: u8, request: u8, client: u8) -> Result<()>;
}
