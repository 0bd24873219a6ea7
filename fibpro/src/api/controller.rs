//! `fibpro.v1.Controller`: sells a Fibonacci number.

use rpc_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use super::pricing::PricingError;

/// Sells Fibonacci numbers: reserve the price, compute, settle; or refund.
#[rpc_service(package = "fibpro.v1", endpoint = "controller")]
pub trait Controller {
    /// F(n) for the user, paid by the purchase `key`. A repeat costs nothing more.
    #[rpc(idempotent)]
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
    /// Pricing said no.
    #[error("{0}")]
    #[rpc(from)]
    Pricing(PricingError),

    /// Everything else.
    #[error("{0}")]
    #[rpc(other)]
    Other(Error),
}
