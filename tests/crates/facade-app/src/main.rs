//! A service, an error and a flag in a crate whose only dependency on the runtime is `facade`.

use facade::rpc::prelude::*;

facade::rpc::flag! {
    /// The number of items in stock.
    static STOCK: u32 = 3;
}

#[rpc_service(crate = "facade::rpc")]
trait Store {
    async fn take(&self, count: u32) -> Result<u32, StoreError>;
}

#[derive(Debug, RpcError)]
#[rpc(crate = "::facade::rpc")]
enum StoreError {
    #[rpc(code = "failed_precondition")]
    TooFew { left: u32 },
    #[rpc(other)]
    Other(Error),
}

struct Shelf;

impl Store for Shelf {
    async fn take(&self, count: u32) -> Result<u32, StoreError> {
        let left = STOCK.get();
        left.checked_sub(count).ok_or(StoreError::TooFew { left })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let store = StoreClient::local(Shelf);
    assert_eq!(store.take(2).await.expect("two items"), 1);
    let error = store.take(4).await.expect_err("there are three");
    assert!(matches!(*error, StoreError::TooFew { left: 3 }));
    println!("the facade works");
    Ok(())
}
