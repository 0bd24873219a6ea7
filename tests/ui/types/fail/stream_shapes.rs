use futures_util::stream::Stream;
use rpc_runtime::{Result, Streaming, rpc_service};

#[rpc_service]
trait Shop {
    async fn nested(&self, items: Option<Streaming<String>>) -> Result<u32>;
    async fn borrowed(&self, items: &Streaming<String>) -> Result<u32>;
    async fn beside(&self, name: &str, items: Streaming<String>) -> Result<u32>;
    async fn anonymous(&self) -> Result<impl Stream<Item = u32>>;
    async fn in_a_list(&self) -> Result<Vec<Streaming<u32>>>;
    async fn borrows(&self) -> Result<Streaming<&'static str>>;
    #[rpc(detached)]
    async fn detached(&self) -> Result<Streaming<u32>>;
    async fn keyed(&self, #[rpc(idempotency_key)] key: &str) -> Result<Streaming<u32>>;
    #[rpc(get = "/watch")]
    async fn by_path(&self) -> Result<Streaming<u32>>;
    async fn defaulted(&self, #[rpc(default)] items: Streaming<String>) -> Result<u32>;
}

fn main() {}
