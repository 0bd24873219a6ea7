//! A skipped field need not be serializable, an error, or have a default. An error becomes the
//! source, and a default is used when decoding.

use std::error::Error as _;

use rpc_runtime::{Error, RpcError};

/// Implements none of the traits.
#[derive(Debug)]
struct Handle;

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(code = "unavailable")]
    Store { shelf: u8, #[rpc(skip)] cause: std::io::Error },
    #[rpc(code = "unavailable")]
    Boxed(#[rpc(skip)] Box<dyn std::error::Error + Send + Sync>),
    #[rpc(code = "internal")]
    Busy(#[rpc(skip)] Handle),
    #[rpc(code = "internal")]
    Counted { #[rpc(skip)] tries: u32, left: u32 },
    #[rpc(other)]
    Other(Error),
}

fn main() {
    let sent = ShopError::Store { shelf: 1, cause: std::io::Error::other("disk") }.into_error();
    assert_eq!(sent.source().unwrap().to_string(), "disk");
    // The cause has no default, so the caller's variant cannot be built.
    assert!(matches!(ShopError::from_error(&sent), ShopError::Other(_)));

    let sent = ShopError::Boxed("boxed".into()).into_error();
    assert_eq!(sent.source().unwrap().to_string(), "boxed");

    let sent = ShopError::Busy(Handle).into_error();
    assert!(sent.source().is_none());

    let sent = ShopError::Counted { tries: 7, left: 2 }.into_error();
    assert!(matches!(ShopError::from_error(&sent), ShopError::Counted { tries: 0, left: 2 }));
}
