use rpc_runtime::rpc_service;

type Answer<T> = std::result::Result<T, std::io::Error>;

#[rpc_service]
trait Shop {
    async fn buy(&self) -> Answer<u32>;
}

fn main() {}
