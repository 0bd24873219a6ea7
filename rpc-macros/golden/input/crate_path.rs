#[rpc_service(package = "shop.v1", crate = "facade::rpc")]
pub trait Till {
    async fn pay(&self, cents: u64) -> Result<(), TillError>;
}

#[derive(Debug, RpcError)]
#[rpc(crate = "facade::rpc")]
enum TillError {
    #[rpc(code = "not_found")]
    NoTill,
    #[rpc(other)]
    Other(facade::rpc::Error),
}
