//! The controller: reserves the price, computes the number, and settles or refunds.
//!
//! The price is first reserved, and a reservation that is not ended expires. So if any process dies
//! at any time, a user pays at most once for a number, and nothing for a number that was not
//! computed. A number is returned only after its payment is confirmed.

use std::convert::Infallible;
use std::time::Duration;

use rpc_runtime::{Code, Context, Error, Remote};
use tokio::sync::oneshot;

use crate::api::compute_worker::ComputeWorkerClient;
use crate::api::controller::{Controller, ControllerError, Sold};
use crate::api::pricing::{PricingClient, PricingError, PurchaseState, Receipt};
use crate::api::userstore::UserStoreError;

/// Maximum time that is kept for ending the purchase; at most a quarter of the remaining time.
const TIME_TO_END: Duration = Duration::from_secs(2);

/// Maximum number of purchases per key: a retry after a failed purchase starts another one.
const PURCHASES: u32 = 8;

/// Implements [`Controller`] with a pricing service and a compute worker.
#[derive(Debug)]
pub struct Seller {
    pricing: PricingClient,
    worker: ComputeWorkerClient,
}

impl Seller {
    /// Creates a seller.
    #[must_use]
    pub fn new(pricing: PricingClient, worker: ComputeWorkerClient) -> Self {
        Self { pricing, worker }
    }
}

impl Controller for Seller {
    async fn generate(&self, username: &str, n: u64, key: &str) -> Result<Sold, ControllerError> {
        let sale = Sale {
            pricing: self.pricing.clone(),
            worker: self.worker.clone(),
            username: username.to_owned(),
            n,
            key: key.to_owned(),
        };
        // The handler is dropped when its caller goes away, but a purchase must not be interrupted.
        // So it runs in a spawned task, which is notified by the closed channel. `detached` does
        // not fit: it would finish the computation and charge for it.
        let (_waiting, gone) = oneshot::channel();
        match rpc_runtime::spawn(sale.make(gone)).await {
            Ok(outcome) => outcome,
            Err(failed) => Err(Error::new(
                Code::Internal,
                format!("the task of the purchase failed: {failed}"),
            )
            .into()),
        }
    }
}

/// Resolves when the caller is gone; no value is ever sent.
type CallerGone = oneshot::Receiver<Infallible>;

/// State of one call of `generate`.
struct Sale {
    pricing: PricingClient,
    worker: ComputeWorkerClient,
    username: String,
    n: u64,
    key: String,
}

impl Sale {
    async fn make(self, gone: CallerGone) -> Result<Sold, ControllerError> {
        let (key, reserved) = self.reserve().await?;
        let is_new = reserved.state == PurchaseState::Reserved;
        let value = match self.compute(gone).await {
            Ok(value) => value,
            Err(error) => {
                // A repeated call whose number was paid before: the payment stays.
                if is_new {
                    self.refund(&key).await;
                }
                return Err(error);
            }
        };
        let Receipt { price, credit, .. } = if is_new {
            let settled = self.settle(&key).await?;
            // Follows the user store's line on the same change. Escaped, because a user name may
            // contain any character.
            tracing::info!(
                "{} used {} credit, balance: {}",
                self.username.escape_debug(),
                settled.price,
                settled.credit
            );
            settled
        } else {
            reserved
        };
        Ok(Sold {
            value,
            price,
            credit,
        })
    }

    /// Reserves the price. Returns the first purchase with this key that has not failed.
    ///
    /// At most one of them can be paid: the next one starts only after the one before has ended
    /// unpaid, which is final.
    async fn reserve(&self) -> Result<(String, Receipt), ControllerError> {
        for purchase in 1..=PURCHASES {
            let key = match purchase {
                1 => self.key.clone(),
                _ => format!("{}.{purchase}", self.key),
            };
            match self.pricing.pay(&self.username, self.n, &key).await {
                Ok(receipt) => match receipt.state {
                    PurchaseState::Reserved | PurchaseState::Settled => return Ok((key, receipt)),
                    PurchaseState::Refunded | PurchaseState::Expired => {}
                },
                Err(error) if has_ended(&error) => {}
                Err(error) => {
                    if let PricingError::InsufficientCredit { credit, .. } = &*error {
                        let Self { username, n, .. } = self;
                        tracing::warn!("User {username:?} denied fib({n}), credit: {credit}");
                    }
                    return Err(ControllerError::from(error));
                }
            }
        }
        Err(ControllerError::KeyUsedUp {
            key: self.key.clone(),
            purchases: PURCHASES,
        })
    }

    async fn compute(&self, gone: CallerGone) -> Result<String, ControllerError> {
        let mut call = self.worker.compute_fib(self.n);
        if let Some(left) = Context::current().remaining() {
            call = call.timeout(left - TIME_TO_END.min(left / 4));
        }
        let computed = tokio::select! {
            biased;
            // Dropping the call cancels it at the worker.
            _ = gone => {
                let text = format!("the call was canceled before fib({}) was computed", self.n);
                let error = Error::new(Code::Canceled, text);
                return Err(error.into());
            }
            computed = call => computed,
        };
        computed.map_err(|error| {
            if error.code() != Code::InvalidArgument {
                return ControllerError::from(error);
            }
            let (n, why) = (self.n, error.message().to_owned());
            error.replaced_by(ControllerError::TooLarge { n, why })
        })
    }

    async fn settle(&self, key: &str) -> Result<Receipt, ControllerError> {
        self.pricing.settle(key).await.map_err(|error| {
            let key = key.to_owned();
            let own = if has_ended(&error) {
                ControllerError::Ended { key }
            } else {
                ControllerError::OutcomeUnknown { key }
            };
            error.replaced_by(own)
        })
    }

    async fn refund(&self, key: &str) {
        if let Err(error) = self.pricing.refund(key).await {
            tracing::warn!(
                error = format!("{error:#}").replace('\n', " |"),
                "cannot refund purchase {key}; its reservation will expire"
            );
        }
    }
}

/// Returns whether the purchase ended unpaid.
fn has_ended(error: &Remote<PricingError>) -> bool {
    matches!(
        **error,
        PricingError::UserStore(UserStoreError::PurchaseEnded {
            state: PurchaseState::Refunded | PurchaseState::Expired,
            ..
        })
    )
}
