use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Constructors {
    async fn connect(&self) -> Result<()>;

    async fn local(&self) -> Result<()>;

    async fn discover(&self) -> Result<()>;

    async fn with_discount(&self) -> Result<()>;

    async fn clone(&self) -> Result<()>;
}

#[rpc_service]
trait Ping {
    async fn ping(&self) -> Result<()>;
}

#[rpc_service]
trait WireName {
    #[rpc(name = "Ping")]
    async fn alive(&self) -> Result<()>;
}

fn main() {}
