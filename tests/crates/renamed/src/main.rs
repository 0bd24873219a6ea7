//! A service where the runtime is the crate `runtime`.

use runtime::prelude::*;

#[rpc_service(package = "till.v1", crate = "runtime")]
trait Till {
    async fn pay(&self, cents: u64) -> Result<u64, TillError>;
}

#[derive(Debug, RpcError)]
#[rpc(crate = "runtime")]
enum TillError {
    #[rpc(code = "invalid_argument")]
    TooMuch { most: u64 },
    #[rpc(other)]
    Other(Error),
}

struct Drawer;

impl Till for Drawer {
    async fn pay(&self, cents: u64) -> Result<u64, TillError> {
        match cents {
            0 => Err(runtime::Error::new(Code::OutOfRange, "nothing to pay").into()),
            1..=100 => Ok(100 - cents),
            _ => Err(TillError::TooMuch { most: 100 }),
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let till = TillClient::local(Drawer);
    assert_eq!(till.pay(30).await.expect("change"), 70);
    let error = till.pay(200).await.expect_err("more than the till takes");
    assert!(matches!(*error, TillError::TooMuch { most: 100 }));
    let error = till.pay(0).await.expect_err("nothing");
    assert_eq!(error.code(), Code::OutOfRange);
    println!("the renamed runtime works");
    Ok(())
}
