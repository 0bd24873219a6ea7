//! Works with `thiserror`: where `#[from]` generates the conversion, the derive does not.

use rpc_runtime::{Code, Error, RpcError};

#[derive(Debug, thiserror::Error, RpcError)]
enum ShopError {
    #[error("no {item} in aisle {aisle}")]
    #[rpc(code = "not_found")]
    NoItem { item: String, aisle: u8 },
    #[error("{0}")]
    #[rpc(code = "internal", public, reason = "LOST")]
    Lost(String),
    #[error(transparent)]
    #[rpc(other)]
    Other(#[from] Error),
}

fn converts() -> Result<(), ShopError> {
    Err(Error::new(Code::Aborted, "later"))?
}

fn main() {
    let error = ShopError::NoItem { item: "tea".to_owned(), aisle: 3 };
    assert_eq!(error.code(), Code::NotFound);
    let sent = error.into_error();
    assert_eq!(sent.message(), "no tea in aisle 3");
    let ShopError::NoItem { item, aisle } = ShopError::from_error(&sent) else { panic!("{sent}") };
    assert_eq!((item.as_str(), aisle), ("tea", 3));

    let lost = ShopError::Lost("key".to_owned()).into_error();
    assert_eq!((lost.public_message(), lost.reason()), ("key", Some("LOST")));
    assert_eq!(converts().unwrap_err().code(), Code::Aborted);
}
