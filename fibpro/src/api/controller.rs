//! `fibpro.v1.Controller`: sells a Fibonacci number.

use rpc_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use super::pricing::PricingError;

/// Prefix of the keys that the controller derives for the purchases after a failed one. Callers
/// cannot use it.
pub const RETRY_PREFIX: &str = "~retry-";

/// Sells Fibonacci numbers: reserves the price, computes, and settles or refunds.
#[rpc_service(package = "fibpro.v1", endpoint = "controller")]
pub trait Controller {
    /// Returns F(n) for the user, paid by the purchase `key`.
    ///
    /// A repeat with the same user, `n` and key pays once: after a refunded failure it starts
    /// again; after a settled purchase it returns the number without charging. Use a different key
    /// for each number: a key identifies a payment and not a number. A key has 1 to 255 bytes,
    /// without control characters, and does not begin with [`RETRY_PREFIX`].
    ///
    /// Nothing is paid if the caller is gone or the deadline passes before the number is computed.
    /// The timeout of 20 s is shorter than the lifetime of a reservation, so that none expires
    /// during the computation.
    #[rpc(idempotent, timeout = "20s")]
    async fn generate(&self, username: &str, n: u64, key: &str) -> Result<Sold, ControllerError>;
}

/// A sold number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sold {
    /// F(n) in decimal digits.
    pub value: String,
    /// Price in credits.
    pub price: u64,
    /// Remaining credit of the user, also of a repeat.
    pub credit: u64,
    /// Whether the number was paid before, and not by this request. A request whose controller was
    /// restarted after the payment may say so as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

/// Errors of the controller.
#[derive(Debug, thiserror::Error, RpcError)]
pub enum ControllerError {
    /// Pricing rejected the purchase. Nothing was paid.
    #[error("{0}")]
    #[rpc(from)]
    Pricing(PricingError),

    /// The compute worker rejects a number of this size. Nothing was paid.
    #[error("fib({n}) exceeds the compute worker's limit: {why}")]
    #[rpc(code = "invalid_argument")]
    TooLarge {
        /// The requested number.
        n: u64,
        /// Text of the compute worker.
        why: String,
    },

    /// The number is computed, but its payment could not be confirmed, so it is not returned. A
    /// repeat finds out.
    #[error(
        "cannot confirm the payment of purchase {key}; repeat the same call, which pays at most once"
    )]
    #[rpc(code = "unavailable")]
    OutcomeUnknown {
        /// Key of the call.
        key: String,
    },

    /// The purchase ended before it was paid: it expired, or a concurrent call with the
    /// same key was refunded. Nothing was paid, and a repeat starts again.
    #[error(
        "purchase {key} ended before it was paid, by expiry or a refund; nothing was paid; repeat the same call to start again"
    )]
    #[rpc(code = "unavailable")]
    Ended {
        /// Key of the call.
        key: String,
    },

    /// The key is not valid. Nothing was paid.
    #[error("key: {why}")]
    #[rpc(code = "invalid_argument")]
    InvalidKey {
        /// Description of the error.
        why: String,
    },

    /// Too many purchases with this key have failed. Nothing was paid.
    #[error("{purchases} purchases with the idempotency key {key} ended unpaid; use another key")]
    #[rpc(code = "aborted")]
    KeyUsedUp {
        /// The key.
        key: String,
        /// Number of failed purchases.
        purchases: u32,
    },

    /// Any other error. Nothing was paid, or the payment is returned automatically.
    #[error("{0}")]
    #[rpc(other)]
    Other(Error),
}
