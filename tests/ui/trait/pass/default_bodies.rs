//! A body in the trait is the server's default. Early returns, `?` and borrowed arguments work in
//! it.

use rpc_runtime::{Code, Context, Error, Result, rpc_service};

#[rpc_service]
trait Shop {
    async fn price(&self, item: &str) -> Result<u32>;

    async fn total(&self, items: &[String]) -> Result<u32> {
        if items.is_empty() {
            return Err(Error::new(Code::InvalidArgument, "nothing to buy"));
        }
        let mut total = 0;
        for item in items {
            total += self.price(item).await?;
        }
        Ok(total)
    }

    async fn id(&self, ctx: &Context, _unused: Option<&str>) -> Result<String> {
        Ok(ctx.request_id().to_owned())
    }
}

struct Corner;

impl Shop for Corner {
    async fn price(&self, item: &str) -> Result<u32> {
        Ok(item.len() as u32)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let client = ShopClient::local(Corner);
    assert_eq!(client.total(&["tea".to_owned(), "milk".to_owned()]).await.unwrap(), 7);
    assert_eq!(client.total(&[]).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(client.id(None).await.unwrap().len(), 16);
}
