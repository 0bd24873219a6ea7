#[rpc_service(package = "shop.v1")]
pub trait Shapes {
    async fn every(
        &self,
        owned: Vec<u8>,
        text: &str,
        slice: &[Item],
        lent: &Item,
        maybe_owned: Option<String>,
        maybe_text: Option<&str>,
        maybe_slice: Option<&[u8]>,
        maybe_lent: Option<&Item>,
    ) -> Result<()>;
}
