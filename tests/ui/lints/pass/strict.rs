//! The expansion causes no warnings under strict lints.
#![forbid(unsafe_code, non_snake_case)]
#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    unused_lifetimes,
    unused_results,
    unnameable_types,
    single_use_lifetimes,
    elided_lifetimes_in_paths,
    let_underscore_drop,
    rust_2018_idioms,
    clippy::all,
    clippy::pedantic
)]

use std::fmt::Debug;
use std::marker::Send;

use rpc_runtime::{Code, Context, Error, Result, RpcError, rpc_service};

/// The code of a missing item. With `Code` in scope, qualified paths in the expansion could be
/// reported.
pub const MISSING: Code = Code::NotFound;

/// Errors of [`Shop`].
#[derive(Debug, thiserror::Error, RpcError)]
pub enum ShopError {
    /// The shop does not have the item.
    #[error("no {item}")]
    #[rpc(code = "not_found")]
    NoItem {
        /// The name of the item.
        item: String,
    },
    /// The store failed.
    #[error("the store is down")]
    #[rpc(code = "unavailable")]
    Store(#[rpc(skip)] std::io::Error),
    /// Any other error.
    #[error("{0}")]
    #[rpc(other)]
    Other(#[from] Error),
}

/// Sells things.
#[rpc_service(package = "shop.v1")]
pub trait Shop: Debug + Send {
    /// Buys.
    ///
    /// # Errors
    ///
    /// [`ShopError::NoItem`] for an unknown item.
    #[rpc(idempotent)]
    async fn buy(&self, ctx: &Context, item: &str, list: &[String], count: Option<&u32>) -> Result<u32, ShopError>;

    /// Waits.
    ///
    /// # Errors
    ///
    /// None.
    async fn wait(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {}
