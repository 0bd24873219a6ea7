//! `?` converts a dependency's error into its `from` variant, and any other error into `Other`.

use rpc_runtime::{Code, Error, Remote, RpcError};

#[derive(Debug, RpcError)]
enum StoreError {
    #[rpc(code = "not_found")]
    NoShelf { shelf: u8 },
    #[rpc(other)]
    Other(Error),
}

#[derive(Debug, RpcError)]
enum BankError {
    #[rpc(code = "unavailable")]
    Closed,
    #[rpc(other)]
    Other(Error),
}

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(from)]
    Store(StoreError),
    #[rpc(from, reason = "MONEY")]
    Bank { error: BankError },
    #[rpc(other)]
    Other(Error),
}

fn pass_on<E: RpcError>(error: E) -> Result<(), ShopError> {
    Err(Remote::<E>::from_error(error.into_error()))?
}

fn main() {
    let error = pass_on(StoreError::NoShelf { shelf: 3 }).unwrap_err();
    assert!(matches!(error, ShopError::Store(StoreError::NoShelf { shelf: 3 })), "{error:?}");
    assert_eq!(error.code(), Code::NotFound);
    let sent = error.into_error();
    assert!(matches!(ShopError::from_error(&sent), ShopError::Store(StoreError::NoShelf { shelf: 3 })));

    let error = pass_on(BankError::Closed).unwrap_err();
    assert!(matches!(error, ShopError::Bank { error: BankError::Closed }), "{error:?}");

    let error = pass_on(Error::new(Code::Aborted, "later")).unwrap_err();
    assert!(matches!(error, ShopError::Other(_)), "{error:?}");
}
