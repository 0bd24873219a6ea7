//! Errors are compared: by the standard derive, and by `#[rpc(partial_eq)]` where a source has no
//! `PartialEq`.

use rpc_runtime::{Error, RpcError};

#[derive(Debug, PartialEq, RpcError)]
enum StoreError {
    #[rpc(code = "not_found")]
    NoUser { name: String },
    #[rpc(other)]
    Other(Error),
}

#[derive(Debug, RpcError)]
#[rpc(partial_eq)]
enum ShopError {
    #[rpc(code = "unavailable")]
    Store { shelf: u8, #[rpc(skip)] cause: std::io::Error },
    #[rpc(code = "aborted")]
    Two(u8, #[rpc(skip)] std::io::Error, String),
    #[rpc(code = "not_found")]
    Closed,
    #[rpc(from)]
    User(StoreError),
    #[rpc(other)]
    Other(Error),
}

fn store(shelf: u8) -> ShopError {
    ShopError::Store { shelf, cause: std::io::Error::other("disk") }
}

fn two(first: u8, last: &str) -> ShopError {
    ShopError::Two(first, std::io::Error::other("disk"), last.to_owned())
}

fn user(name: &str) -> ShopError {
    ShopError::User(StoreError::NoUser { name: name.to_owned() })
}

fn main() {
    assert_eq!(store(1), store(1));
    assert_ne!(store(1), store(2));
    assert_eq!(two(1, "a"), two(1, "a"));
    assert_ne!(two(1, "a"), two(2, "a"));
    assert_ne!(two(1, "a"), two(1, "b"));
    assert_eq!(user("ada"), user("ada"));
    assert_ne!(user("ada"), user("bob"));
    assert_eq!(ShopError::Closed, ShopError::Closed);
    assert_ne!(ShopError::Closed, store(1));
}
