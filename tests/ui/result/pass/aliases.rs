//! A return type may be an alias of `Result`. The client's calls have the types of the alias.

use rpc_runtime::{Call, Error, RpcError, rpc_service};

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(other)]
    Other(Error),
}

type Answer<T> = std::result::Result<T, ShopError>;
type Done = Answer<()>;
type Either<E, T> = Result<T, E>;

mod elsewhere {
    pub(crate) type Result<T> = core::result::Result<T, super::ShopError>;
}

#[rpc_service]
trait Shop {
    async fn plain(&self) -> rpc_runtime::Result<u8>;

    async fn two(&self) -> rpc_runtime::Result<u8, ShopError>;

    async fn std(&self) -> std::result::Result<Vec<(u8, String)>, ShopError>;

    async fn alias(&self) -> Answer<u8>;

    async fn done(&self) -> Done;

    async fn swapped(&self) -> Either<ShopError, u8>;

    async fn elsewhere(&self) -> elsewhere::Result<Option<u8>>;
}

fn types(client: &ShopClient) {
    let _: Call<u8, Error> = client.plain();
    let _: Call<u8, ShopError> = client.two();
    let _: Call<Vec<(u8, String)>, ShopError> = client.std();
    let _: Call<u8, ShopError> = client.alias();
    let _: Call<(), ShopError> = client.done();
    let _: Call<u8, ShopError> = client.swapped();
    let _: Call<Option<u8>, ShopError> = client.elsewhere();
}

fn main() {
    types(&ShopClient::connect("http://127.0.0.1:9").unwrap());
}
