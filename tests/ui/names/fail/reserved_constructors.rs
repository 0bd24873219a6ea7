use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn connect(&self) -> Result<()>;

    async fn local(&self) -> Result<()>;

    async fn discover(&self) -> Result<()>;

    async fn with_discount(&self) -> Result<()>;

    async fn clone(&self) -> Result<()>;
}

fn main() {}
