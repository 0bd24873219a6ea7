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

use rpc_runtime::{Context, Error, Result, RpcError, rpc_service};

/// What can go wrong.
#[derive(Debug, thiserror::Error, RpcError)]
pub enum ShopError {
    /// There is none.
    #[error("no {item}")]
    #[rpc(code = "not_found")]
    NoItem {
        /// Which.
        item: String,
    },
    /// The store.
    #[error("the store is down")]
    #[rpc(code = "unavailable")]
    Store(#[rpc(skip)] std::io::Error),
    /// Anything else.
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
    /// When there is none.
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
