//! The controller: reserve, compute, settle; or refund.
//!
//! Money first moves into a reservation, which returns by itself when nobody ends it. So whatever dies at whatever moment,
//! a user has paid for a number at most once, and for none that nobody computed. A number is given out only when it is
//! known to be paid.

use std::convert::Infallible;
use std::time::Duration;

use rpc_runtime::{Code, Context, Error, Remote};
use tokio::sync::oneshot;

use crate::api::compute_worker::ComputeWorkerClient;
use crate::api::controller::{Controller, ControllerError, Sold};
use crate::api::pricing::{PricingClient, PricingError, PurchaseState, Receipt};
use crate::api::userstore::UserStoreError;

/// What of a call's time is kept for ending the purchase: a quarter, and no more than this.
const TIME_TO_END: Duration = Duration::from_secs(2);

/// How many purchases one key may have: each one that fails is followed by another when the caller repeats the call.
const PURCHASES: u32 = 8;

/// A [`Controller`] that sells what a compute worker makes.
#[derive(Debug)]
pub struct Seller {
    pricing: PricingClient,
    worker: ComputeWorkerClient,
}

impl Seller {
    /// A seller at these prices.
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
        // A handler is dropped when its caller goes away, and a purchase must not be dropped half-way. So it has a task of
        // its own, which learns that nobody waits any more by the other end of this channel. `detached` would go on
        // computing, and charge for it.
        let (_waiting, gone) = oneshot::channel();
        match rpc_runtime::spawn(sale.make(gone)).await {
            Ok(outcome) => outcome,
            Err(failed) => Err(Error::new(Code::Internal, format!("the sale: {failed}")).into()),
        }
    }
}

/// Resolves when nobody waits for the number any more; nothing is ever sent on it.
type CallerGone = oneshot::Receiver<Infallible>;

/// One call of `generate`.
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
                // A number that was paid and given out before stays paid.
                if is_new {
                    self.refund(&key).await;
                }
                return Err(error);
            }
        };
        let Receipt { price, credit, .. } = if is_new {
            let settled = self.settle(&key).await?;
            // Behind the user store's own line on the same change. A name may have anything in it.
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

    /// The purchase that this call is for: the first one with its key that has not come to nothing.
    ///
    /// Only one of them can ever be paid, since the next one is begun when the one before has ended without it, and what
    /// has ended stays so.
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
            // Dropping the call stops the worker.
            _ = gone => {
                let error = Error::new(Code::Canceled, "the caller went away before the number was there");
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
                "the purchase {key} is not refunded; its reservation expires by itself"
            );
        }
    }
}

/// Whether the purchase came to its end, and not to a good one.
fn has_ended(error: &Remote<PricingError>) -> bool {
    matches!(
        **error,
        PricingError::UserStore(UserStoreError::PurchaseEnded {
            state: PurchaseState::Refunded | PurchaseState::Expired,
            ..
        })
    )
}
