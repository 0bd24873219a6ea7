#[rpc_service(package = "shop.v1")]
pub trait Store {
    #[rpc(message, no_side_effects)]
    async fn get(&self, request: &GetRequest) -> Result<Item, StoreError>;

    #[rpc(message, name = "PutItem", detached)]
    async fn put(&self, ctx: &Context, request: Item) -> Result<()>;
}
