use rpc_runtime::{Result, rpc_service};

#[rpc_service(packge = "shop.v1", endpoint = "The Shop")]
trait Shop<T> {
    const LIMIT: u32 = 3;

    #[rpc(idempotnt, timeout = "2h")]
    fn buy(&mut self, (item, count): (String, u32)) -> u32;

    async fn connect(&self) -> Result<()>;

    async fn price_of(&self, item: &'static str, lines: Vec<&str>) -> Result<&str>;

    #[rpc(name = "PriceOf", no_side_effects)]
    async fn price(&self, #[rpc(secret)] card: &str) -> Result<u32>;
}

fn main() {}
