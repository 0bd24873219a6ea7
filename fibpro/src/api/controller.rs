//! `fibpro.v1.Controller`: sells a Fibonacci number.

use rpc_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use super::pricing::PricingError;

/// Sells Fibonacci numbers: reserve the price, compute, settle; or refund.
#[rpc_service(package = "fibpro.v1", endpoint = "controller")]
pub trait Controller {
    /// F(n) for the user, paid by the purchase `key`.
    ///
    /// A repeat with the same user, `n` and key is paid once, whatever became of the first call: a sale that failed and
    /// was refunded is tried again, one that is settled gives the number once more. Give each number a key of its own:
    /// a key says what was paid and not for what.
    ///
    /// A caller that goes away, or whose deadline passes, before the number is there pays nothing. A sale takes 20 s at
    /// most, which is less than a reservation lasts: none expires while its number is computed.
    #[rpc(idempotent, timeout = "20s")]
    async fn generate(&self, username: &str, n: u64, key: &str) -> Result<Sold, ControllerError>;
}

/// A number that was sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sold {
    /// F(n) in decimal digits.
    pub value: String,
    /// What it cost.
    pub price: u64,
    /// What the user can spend after it.
    pub credit: u64,
}

/// What the controller answers instead.
#[derive(Debug, thiserror::Error, RpcError)]
pub enum ControllerError {
    /// Pricing said no. Nothing was paid.
    #[error("{0}")]
    #[rpc(from)]
    Pricing(PricingError),

    /// The compute worker computes no number as large as that. Nothing was paid.
    #[error("fib({n}) is not computed here: {why}")]
    #[rpc(code = "invalid_argument")]
    TooLarge {
        /// What was asked for.
        n: u64,
        /// What the compute worker says to it.
        why: String,
    },

    /// The number is there, and nobody could say whether it is paid, so it is not given out. A repeat finds out.
    #[error(
        "it is not known whether the purchase {key} was paid; a repeat with the same key pays once at most"
    )]
    #[rpc(code = "unavailable")]
    OutcomeUnknown {
        /// The purchase.
        key: String,
    },

    /// The purchase ended before the number was there: it expired, or another call with its key was refunded. Nothing
    /// was paid, and a repeat begins anew.
    #[error("the purchase {key} ended before the number was there; it costs nothing")]
    #[rpc(code = "unavailable")]
    Ended {
        /// The purchase.
        key: String,
    },

    /// Too many purchases with this key have ended without a number. Nothing was paid.
    #[error(
        "{purchases} purchases with the key {key} have failed and were refunded; take another key"
    )]
    #[rpc(code = "aborted")]
    KeyUsedUp {
        /// The key.
        key: String,
        /// How many there were.
        purchases: u32,
    },

    /// Everything else. Nothing was paid, or what was paid comes back by itself.
    #[error("{0}")]
    #[rpc(other)]
    Other(Error),
}
