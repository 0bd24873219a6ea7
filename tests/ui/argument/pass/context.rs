//! The context is an optional first parameter with any name, and is not sent.

use rpc_runtime::{Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn id(&self, context: &rpc_runtime::Context) -> Result<String>;

    async fn echo(&self, ctx: &rpc_runtime::Context, context: &str) -> Result<String>;
}

struct Corner;

impl Shop for Corner {
    async fn id(&self, context: &rpc_runtime::Context) -> Result<String> {
        Ok(context.request_id().to_owned())
    }

    async fn echo(&self, _: &rpc_runtime::Context, context: &str) -> Result<String> {
        Ok(context.to_owned())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let client = ShopClient::local(Corner);
    assert_eq!(client.id().await.unwrap().len(), 16);
    assert_eq!(client.echo("hi").await.unwrap(), "hi");
    let service = rpc_runtime::registry::services().find(|service| service.name == "Shop").unwrap();
    assert_eq!((service.methods[0].arguments.len(), service.methods[1].arguments.len()), (0, 1));
}
