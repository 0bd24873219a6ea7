//! `fibpro.v1.Pricing`: what a Fibonacci number costs, and the way a purchase takes.

use rpc_runtime::prelude::*;
use serde::{Deserialize, Serialize};

pub use super::userstore::PurchaseState;
use super::userstore::UserStoreError;

/// What a Fibonacci number costs: a credit for each decimal digit of `n`.
///
/// A purchase is known by the key that its buyer's side made up. `pay` reserves, and then `settle` or `refund` ends it;
/// all three may be repeated.
#[rpc_service(package = "fibpro.v1", endpoint = "pricing")]
pub trait Pricing {
    /// The price of `fib(n)` in credits, from 1 to 20.
    #[rpc(no_side_effects)]
    async fn price(&self, n: u64) -> Result<u64>;

    /// Reserves the price of `fib(n)` in the user's credit, for the purchase `key`.
    ///
    /// A repeat answers how far the purchase is.
    #[rpc(idempotent)]
    async fn pay(&self, username: &str, n: u64, key: &str) -> Result<Receipt, PricingError>;

    /// Makes the purchase final: the user has the number.
    #[rpc(idempotent)]
    async fn settle(&self, key: &str) -> Result<Receipt, PricingError>;

    /// Gives the credit back: there is no number to be had.
    #[rpc(idempotent)]
    async fn refund(&self, key: &str) -> Result<Receipt, PricingError>;
}

/// What was paid, and what is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The price in credits.
    pub price: u64,
    /// What the user can spend after it.
    pub credit: u64,
    /// How far the purchase is.
    pub state: PurchaseState,
}

/// What pricing answers instead.
#[derive(Debug, thiserror::Error, RpcError)]
pub enum PricingError {
    /// The user cannot pay that.
    #[error("fib({n}) costs {price}, user {username} has insufficient credit({credit})")]
    #[rpc(code = "failed_precondition")]
    InsufficientCredit {
        /// What was asked for.
        n: u64,
        /// What it costs.
        price: u64,
        /// Who asked.
        username: String,
        /// What the user has.
        credit: u64,
    },

    /// The user store said no for another reason: a purchase that has ended or belongs to somebody else.
    #[error("{0}")]
    #[rpc(from)]
    UserStore(UserStoreError),

    /// Everything else.
    #[error("{0}")]
    #[rpc(other)]
    Other(Error),
}
