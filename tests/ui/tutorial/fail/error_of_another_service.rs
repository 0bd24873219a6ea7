//! F06: in the original, a failure was a list with a text, or an HTTP status line. Here it has a
//! type, and matching an error that the service does not define does not compile.

use rpc_runtime::prelude::*;

#[derive(Debug, thiserror::Error, RpcError)]
enum PricingError {
    #[error("insufficient credit({credit})")]
    #[rpc(code = "failed_precondition")]
    InsufficientCredit { credit: u64 },
    #[error("{0}")]
    #[rpc(other)]
    Other(Error),
}

#[rpc_service]
trait Pricing {
    async fn pay(&self, n: u64) -> Result<u64, PricingError>;
}

async fn status(pricing: PricingClient) -> u16 {
    match pricing.pay(10).await {
        Ok(_) => 200,
        Err(error) => match &*error {
            PricingError::NoCredit { .. } => 403,
            PricingError::InsufficientCredit { balance } => 403 + u16::from(*balance == 0),
            PricingError::Other(_) => 500,
        },
    }
}

fn main() {}
