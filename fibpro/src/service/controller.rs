//! The controller: reserves the price, computes the number, and settles or refunds.
//!
//! The price is first reserved, and a reservation that is not ended expires. So if any process dies
//! at any time, a user pays at most once for a number, and nothing for a number that was not
//! computed. A number is returned only after its payment is confirmed, and is kept for some minutes
//! for repeats with the same key.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rpc_runtime::{Code, Context, Error, Remote, RequestId};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use crate::api::compute_worker::{BUYER_HEADER, ComputeWorkerClient};
use crate::api::controller::{Controller, ControllerError, RETRY_PREFIX, Sold};
use crate::api::pricing::{PricingClient, PricingError, PurchaseState, Receipt};
use crate::api::userstore::{KEY_LIMIT, UserStoreError};
use crate::service::sold_values::SoldValues;
use crate::terminal::is_unsafe;

/// Maximum time that is kept for ending the purchase; at most a quarter of the remaining time.
const TIME_TO_END: Duration = Duration::from_secs(2);

/// Maximum number of purchases per key: a retry after a failed purchase starts another one.
const PURCHASES: u32 = 8;

/// Implements [`Controller`] with a pricing service and a compute worker.
#[derive(Debug)]
pub struct Seller {
    pricing: PricingClient,
    worker: ComputeWorkerClient,
    sold: Arc<SoldValues>,
}

impl Seller {
    /// Creates a seller.
    #[must_use]
    pub fn new(pricing: PricingClient, worker: ComputeWorkerClient) -> Self {
        let sold = Arc::new(SoldValues::new());
        Self {
            pricing,
            worker,
            sold,
        }
    }
}

impl Controller for Seller {
    async fn generate(&self, username: &str, n: u64, key: &str) -> Result<Sold, ControllerError> {
        check_key(key)?;
        let sale = Sale {
            pricing: self.pricing.clone(),
            worker: self.worker.clone(),
            sold: Arc::clone(&self.sold),
            username: username.to_owned(),
            n,
            key: key.to_owned(),
        };
        // The handler is dropped when its caller goes away, but a purchase must not be interrupted.
        // So it runs in a spawned task, which is notified by the closed channel. `detached` does
        // not fit: it would finish the computation and charge for it.
        let (_waiting, gone) = oneshot::channel();
        match rpc_runtime::spawn(sale.make(gone)).await {
            Ok(outcome) => outcome.map_err(unpaid),
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
    sold: Arc<SoldValues>,
    username: String,
    n: u64,
    key: String,
}

impl Sale {
    async fn make(self, mut gone: CallerGone) -> Result<Sold, ControllerError> {
        // Repeats with one key wait for each other, so that the number is computed once for all.
        let _turn = tokio::select! {
            biased;
            _ = &mut gone => return Err(caller_gone(self.n).into()),
            turn = self.sold.turn(&self.key) => turn,
        };
        let request = RequestId::parse(Context::current().request_id());
        let (key, reserved) = self.reserve().await?;
        let is_new = reserved.state == PurchaseState::Reserved;
        if !is_new && let Some(sold) = self.sold.get(&self.key, self.n) {
            return Ok(Sold {
                value: sold.value.to_string(),
                price: reserved.price,
                credit: reserved.credit,
                // The call may be repeated within one request, when its first response is lost.
                replayed: request.is_none() || sold.paid_by != request,
            });
        }
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
        // Before the payment, so that a repeat after a lost confirmation knows who has paid.
        let paid_by = request.filter(|_| is_new);
        self.sold.insert(&self.key, self.n, &value, paid_by);
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
            replayed: !is_new,
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
                _ => retry_key(&self.key, purchase),
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
        let call = self.worker.compute_fib(self.n);
        let mut call = call.header_bin(BUYER_HEADER, self.username.as_bytes());
        if let Some(left) = Context::current().remaining() {
            call = call.timeout(left - TIME_TO_END.min(left / 4));
        }
        let computed = tokio::select! {
            biased;
            // Dropping the call cancels it at the worker.
            _ = gone => return Err(caller_gone(self.n).into()),
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
            let key = self.key.clone();
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

/// Checks the key of a call, so that derived keys are valid and belong to no caller.
fn check_key(key: &str) -> Result<(), ControllerError> {
    let unsafe_character = || key.chars().find(|c| is_unsafe(*c));
    let why = if !(1..=KEY_LIMIT).contains(&key.len()) {
        format!("must have 1 to {KEY_LIMIT} bytes, not {}", key.len())
    } else if key.starts_with(RETRY_PREFIX) {
        format!("must not begin with `{RETRY_PREFIX}`")
    } else if let Some(c) = unsafe_character() {
        format!("must not contain the character {}", c.escape_unicode())
    } else {
        return Ok(());
    };
    Err(ControllerError::InvalidKey { why })
}

/// Returns the key of a purchase after failed ones: a digest, so that it has one length, with a
/// prefix that no caller can use.
fn retry_key(key: &str, purchase: u32) -> String {
    let digest = Sha256::digest(key.as_bytes());
    let digest = digest[..16].iter().map(|byte| format!("{byte:02x}"));
    let digest: String = digest.collect();
    format!("{RETRY_PREFIX}{purchase}-{digest}")
}

/// States of an error other than a lost confirmation that nothing was paid by this call: what was
/// reserved is refunded or expires.
fn unpaid(error: ControllerError) -> ControllerError {
    match error {
        ControllerError::Other(error) => ControllerError::Other(error.not_executed()),
        error => error,
    }
}

fn caller_gone(n: u64) -> Error {
    let text = format!("the call was canceled before fib({n}) was computed");
    Error::new(Code::Canceled, text)
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
