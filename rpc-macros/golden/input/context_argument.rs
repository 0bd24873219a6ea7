#[rpc_service(package = "shop.v1")]
pub trait Audit {
    async fn record(&self, ctx: &Context, context: &str) -> Result<()>;

    async fn flush(&self, context: &rpc_runtime::Context) -> Result<()>;
}
