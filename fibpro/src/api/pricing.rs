//! `fibpro.v1.Pricing`: prices and payments of Fibonacci numbers.

use rpc_runtime::prelude::*;
use serde::{Deserialize, Serialize};

pub use super::userstore::PurchaseState;
use super::userstore::UserStoreError;

/// Prices Fibonacci numbers at one credit per decimal digit of `n`, and charges for them.
///
/// The caller chooses the key of a purchase. `pay` reserves the price, then `settle` or `refund`
/// ends the purchase. All three can be repeated.
#[rpc_service(package = "fibpro.v1", endpoint = "pricing")]
pub trait Pricing {
    /// Returns the price of `fib(n)` in credits, from 1 to 20.
    #[rpc(no_side_effects)]
    async fn price(&self, n: u64) -> Result<u64>;

    /// Reserves the price of `fib(n)` in the user's credit, for the purchase `key`.
    ///
    /// A repeat returns the current state of the purchase.
    #[rpc(idempotent)]
    async fn pay(&self, username: &str, n: u64, key: &str) -> Result<Receipt, PricingError>;

    /// Makes the purchase final, after the number was computed.
    #[rpc(idempotent)]
    async fn settle(&self, key: &str) -> Result<Receipt, PricingError>;

    /// Returns the credit to the user, if there is no number.
    #[rpc(idempotent)]
    async fn refund(&self, key: &str) -> Result<Receipt, PricingError>;
}

/// Price and state of a purchase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Price in credits.
    pub price: u64,
    /// Remaining credit of the user.
    pub credit: u64,
    /// State of the purchase.
    pub state: PurchaseState,
}

/// Errors of pricing.
#[derive(Debug, thiserror::Error, RpcError)]
pub enum PricingError {
    /// The user's credit is too low.
    #[error("fib({n}) costs {price}, user {username} has insufficient credit({credit})")]
    #[rpc(code = "failed_precondition")]
    InsufficientCredit {
        /// Index of the requested Fibonacci number.
        n: u64,
        /// Its price.
        price: u64,
        /// Name of the user.
        username: String,
        /// Current credit of the user.
        credit: u64,
    },

    /// Other rejections of the user store, such as a purchase that has ended or has a different
    /// owner.
    #[error("{0}")]
    #[rpc(from)]
    UserStore(UserStoreError),

    /// Any other error.
    #[error("{0}")]
    #[rpc(other)]
    Other(Error),
}
