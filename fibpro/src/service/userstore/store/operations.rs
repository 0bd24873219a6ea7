//! Operations on the ledger. Each runs in one transaction.
//!
//! A returned output, also a rejection, commits the transaction; a [`StoreError`] rolls it back.

use std::time::Duration;

use super::audit::{Actor, AuditEvent};
use super::error::StoreError;
use super::ledger::{Account, Ledger, NewEntry, Purchase};
use super::session::SqlSession;
use crate::api::userstore::{LedgerPage, PurchaseState, Reservation, UserStoreError};

/// Maximum sum of a user's credit and open reservations: what JSON readers that use doubles
/// represent exactly.
const TOTAL_LIMIT: i64 = (1 << 53) - 1;

/// An operation on the ledger.
pub(crate) trait Operation: Send + Sync + 'static {
    /// Result of the operation.
    type Output: Send + 'static;

    /// Returns the user whose credit the operation changes.
    fn subject(&self) -> Subject<'_> {
        Subject::Unknown
    }

    /// Returns whether the operation may be repeated when it may have been committed.
    fn is_idempotent(&self) -> bool {
        true
    }

    /// Runs the operation. It may be called again after a rollback.
    fn run<S: SqlSession>(
        &self,
        ledger: &mut Ledger<'_, S>,
    ) -> impl Future<Output = Result<Self::Output, StoreError>> + Send;
}

/// The user whose credit an operation changes, for whose row it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject<'a> {
    User(&'a str),
    /// The user of this purchase.
    Purchase(&'a str),
    /// No user.
    Unknown,
}

/// Result of an operation, or an error in the request.
pub(super) type OperationResult<T> = Result<T, UserStoreError>;

// === reading ===

pub(crate) struct FindAccount {
    pub(crate) username: String,
}

impl Operation for FindAccount {
    type Output = Option<Account>;

    async fn run<S: SqlSession>(
        &self,
        ledger: &mut Ledger<'_, S>,
    ) -> Result<Self::Output, StoreError> {
        ledger.account(&self.username).await
    }
}

/// Finds the user of a purchase.
pub(crate) struct FindBuyer {
    pub(crate) key: String,
}

impl Operation for FindBuyer {
    type Output = Option<String>;

    async fn run<S: SqlSession>(
        &self,
        ledger: &mut Ledger<'_, S>,
    ) -> Result<Self::Output, StoreError> {
        let purchase = ledger.purchase(&self.key).await?;
        Ok(purchase.map(|purchase| purchase.username))
    }
}

/// Changes nothing, and fails where a change would fail: in a read-only session, and while another
/// process has the table locked.
pub(crate) struct WriteCheck;

impl Operation for WriteCheck {
    type Output = ();

    async fn run<S: SqlSession>(&self, ledger: &mut Ledger<'_, S>) -> Result<(), StoreError> {
        // The empty text is not the name of a user.
        ledger.set_credit("", 0).await
    }
}

/// Finds the next users with expired reservations, in the order of their names.
pub(crate) struct FindOverdue {
    /// Only later names are found.
    pub(crate) after: String,
}

impl Operation for FindOverdue {
    type Output = Vec<String>;

    async fn run<S: SqlSession>(
        &self,
        ledger: &mut Ledger<'_, S>,
    ) -> Result<Self::Output, StoreError> {
        ledger.users_with_overdue(&self.after).await
    }
}

// === purchases ===

pub(crate) struct Reserve {
    pub(crate) username: String,
    pub(crate) amount: i64,
    pub(crate) key: String,
    /// Time until the reservation expires.
    pub(crate) lifetime: Duration,
    pub(crate) actor: Actor,
}

impl Operation for Reserve {
    type Output = OperationResult<Reservation>;

    fn subject(&self) -> Subject<'_> {
        Subject::User(&self.username)
    }

    async fn run<S: SqlSession>(
        &self,
        ledger: &mut Ledger<'_, S>,
    ) -> Result<Self::Output, StoreError> {
        if let Some(purchase) = ledger.purchase(&self.key).await? {
            return self.again(ledger, purchase).await;
        }
        return_overdue(ledger, &self.username).await?;
        let Some(credit) = ledger.debit(&self.username, self.amount).await? else {
            return Ok(Err(match ledger.balance(&self.username).await? {
                Some(credit) => UserStoreError::InsufficientCredit {
                    username: self.username.clone(),
                    credit,
                    amount: self.amount.unsigned_abs(),
                },
                None => no_such_user(&self.username),
            }));
        };
        let lifetime = i64::try_from(self.lifetime.as_micros()).unwrap_or(i64::MAX);
        let purchase = Purchase {
            username: self.username.clone(),
            amount: self.amount,
            credit,
            state: PurchaseState::Reserved,
            expires_at: ledger.now().saturating_add(lifetime),
        };
        if !ledger.insert_purchase(&self.key, &purchase).await? {
            // A concurrent operation inserted it since the lookup.
            return Err(StoreError::Conflict);
        }
        ledger
            .insert_entry(NewEntry {
                username: &self.username,
                change: -self.amount,
                credit,
                reason: "reserve",
                key: Some(&self.key),
                actor: self.actor.of_user(),
                ..NewEntry::default()
            })
            .await?;
        let event = AuditEvent::Reserved {
            username: self.username.clone(),
            amount: self.amount,
            credit,
        };
        ledger.audit(event, Some(&self.actor));
        Ok(Ok(reservation(&self.key, purchase)))
    }
}

impl Reserve {
    /// Handles an existing purchase with this key.
    async fn again<S: SqlSession>(
        &self,
        ledger: &mut Ledger<'_, S>,
        purchase: Purchase,
    ) -> Result<OperationResult<Reservation>, StoreError> {
        if purchase.username != self.username || purchase.amount != self.amount {
            return Ok(Err(UserStoreError::PurchaseDiffers {
                key: self.key.clone(),
            }));
        }
        Ok(
            match expire_if_overdue(ledger, &self.key, purchase).await? {
                purchase
                    if matches!(
                        purchase.state,
                        PurchaseState::Refunded | PurchaseState::Expired
                    ) =>
                {
                    Err(ended(&self.key, purchase.state))
                }
                purchase => Ok(reservation(&self.key, purchase)),
            },
        )
    }
}

/// Settles a reservation. That changes no credit, so it waits for no user, and finds none first.
pub(crate) struct Settle {
    pub(crate) key: String,
    /// The only user whose reservation is settled; `None` for that of any user.
    pub(crate) of_user: Option<String>,
    pub(crate) actor: Actor,
}

/// Result of [`Settle`].
pub(crate) enum Settled {
    Ended(Reservation),
    /// The reservation has expired. What it reserved is to be returned to its user first, by an
    /// operation of that user: the row may be locked.
    Overdue {
        username: String,
    },
    /// The reservation is of a user with another name than the one given, and is not changed.
    OfOther {
        username: String,
    },
}

impl Operation for Settle {
    type Output = OperationResult<Settled>;

    async fn run<S: SqlSession>(
        &self,
        ledger: &mut Ledger<'_, S>,
    ) -> Result<Self::Output, StoreError> {
        let of_user = self.of_user.as_deref();
        if let Some((username, amount, credit)) = ledger.settle(&self.key, of_user).await? {
            let event = AuditEvent::Settled {
                username: username.clone(),
                amount,
                credit,
            };
            ledger.audit(event, Some(&self.actor));
            return Ok(Ok(Settled::Ended(Reservation {
                key: self.key.clone(),
                username,
                amount: amount.unsigned_abs(),
                credit,
                state: PurchaseState::Settled,
            })));
        }
        let Some(purchase) = ledger.purchase(&self.key).await? else {
            return Ok(Err(no_such_purchase(&self.key)));
        };
        if of_user.is_some_and(|of_user| of_user != purchase.username) {
            let username = purchase.username;
            return Ok(Ok(Settled::OfOther { username }));
        }
        match purchase.state {
            PurchaseState::Settled => Ok(Ok(Settled::Ended(reservation(&self.key, purchase)))),
            PurchaseState::Reserved if ledger.is_overdue(purchase.expires_at) => {
                let username = purchase.username;
                Ok(Ok(Settled::Overdue { username }))
            }
            // It was not there at the `UPDATE` above: a concurrent operation inserted it.
            PurchaseState::Reserved => Err(StoreError::Conflict),
            state @ (PurchaseState::Refunded | PurchaseState::Expired) => {
                Ok(Err(ended(&self.key, state)))
            }
        }
    }
}

pub(crate) struct Refund {
    pub(crate) key: String,
    pub(crate) actor: Actor,
}

impl Operation for Refund {
    type Output = OperationResult<Reservation>;

    fn subject(&self) -> Subject<'_> {
        Subject::Purchase(&self.key)
    }

    async fn run<S: SqlSession>(
        &self,
        ledger: &mut Ledger<'_, S>,
    ) -> Result<Self::Output, StoreError> {
        let Some(purchase) = ledger.purchase(&self.key).await? else {
            return Ok(Err(no_such_purchase(&self.key)));
        };
        let mut purchase = expire_if_overdue(ledger, &self.key, purchase).await?;
        match purchase.state {
            PurchaseState::Reserved => {
                let end = PurchaseState::Refunded;
                give_back(ledger, &self.key, &mut purchase, end, Some(&self.actor)).await?;
                Ok(Ok(reservation(&self.key, purchase)))
            }
            // The credit has been returned already.
            PurchaseState::Refunded | PurchaseState::Expired => {
                Ok(Ok(reservation(&self.key, purchase)))
            }
            PurchaseState::Settled => Ok(Err(ended(&self.key, PurchaseState::Settled))),
        }
    }
}

/// Returns a user's expired reservations. The output is their number.
pub(crate) struct ReturnOverdue {
    pub(crate) username: String,
}

impl Operation for ReturnOverdue {
    type Output = usize;

    fn subject(&self) -> Subject<'_> {
        Subject::User(&self.username)
    }

    async fn run<S: SqlSession>(&self, ledger: &mut Ledger<'_, S>) -> Result<usize, StoreError> {
        return_overdue(ledger, &self.username).await
    }
}

/// Reads a page of a user's ledger, newest first. The second output tells whether the user has
/// expired reservations; then the first entry of all does not show the current credit.
pub(crate) struct ReadLedger {
    pub(crate) username: String,
    pub(crate) before: Option<u64>,
    pub(crate) limit: u32,
}

impl Operation for ReadLedger {
    type Output = OperationResult<(LedgerPage, bool)>;

    async fn run<S: SqlSession>(
        &self,
        ledger: &mut Ledger<'_, S>,
    ) -> Result<Self::Output, StoreError> {
        if ledger.balance(&self.username).await?.is_none() {
            return Ok(Err(no_such_user(&self.username)));
        }
        let is_first = self.before.is_none();
        let is_overdue = is_first && !ledger.overdue(&self.username).await?.is_empty();
        let entries = ledger.entries(&self.username, self.before, self.limit);
        Ok(Ok((entries.await?, is_overdue)))
    }
}

// === what they share ===

/// Refuses a credit that would exceed [`TOTAL_LIMIT`] when all open reservations return.
pub(super) async fn check_total<S: SqlSession>(
    ledger: &mut Ledger<'_, S>,
    username: &str,
    credit: i64,
) -> Result<OperationResult<()>, StoreError> {
    let reserved = ledger.reserved(username).await?;
    if credit.saturating_add(reserved) <= TOTAL_LIMIT {
        return Ok(Ok(()));
    }
    let why = format!(
        "must be at most {}, because {reserved} are reserved and may return",
        (TOTAL_LIMIT - reserved).max(0)
    );
    Ok(Err(UserStoreError::Invalid {
        argument: "credit".to_owned(),
        why,
    }))
}

pub(super) async fn return_overdue<S: SqlSession>(
    ledger: &mut Ledger<'_, S>,
    username: &str,
) -> Result<usize, StoreError> {
    let overdue = ledger.overdue(username).await?;
    for (key, amount) in &overdue {
        return_credit(ledger, key, username, *amount, PurchaseState::Expired, None).await?;
    }
    Ok(overdue.len())
}

async fn expire_if_overdue<S: SqlSession>(
    ledger: &mut Ledger<'_, S>,
    key: &str,
    mut purchase: Purchase,
) -> Result<Purchase, StoreError> {
    if purchase.state == PurchaseState::Reserved && ledger.is_overdue(purchase.expires_at) {
        give_back(ledger, key, &mut purchase, PurchaseState::Expired, None).await?;
    }
    Ok(purchase)
}

async fn give_back<S: SqlSession>(
    ledger: &mut Ledger<'_, S>,
    key: &str,
    purchase: &mut Purchase,
    state: PurchaseState,
    actor: Option<&Actor>,
) -> Result<(), StoreError> {
    let (username, amount) = (&purchase.username, purchase.amount);
    purchase.credit = return_credit(ledger, key, username, amount, state, actor).await?;
    purchase.state = state;
    Ok(())
}

/// Returns a reservation to its user as refunded or expired. Returns the new credit.
async fn return_credit<S: SqlSession>(
    ledger: &mut Ledger<'_, S>,
    key: &str,
    username: &str,
    amount: i64,
    state: PurchaseState,
    actor: Option<&Actor>,
) -> Result<u64, StoreError> {
    let credit = ledger.credit(username, amount).await?;
    if !ledger.end_reservation(key, state, credit).await? {
        // A concurrent operation ended it since the lookup.
        return Err(StoreError::Conflict);
    }
    let reason = if state == PurchaseState::Refunded {
        "refund"
    } else {
        "expire"
    };
    ledger
        .insert_entry(NewEntry {
            username,
            change: amount,
            credit,
            reason,
            key: Some(key),
            actor: actor.and_then(Actor::of_user),
            ..NewEntry::default()
        })
        .await?;
    let event = AuditEvent::Returned {
        username: username.to_owned(),
        amount,
        credit,
    };
    ledger.audit(event, actor);
    Ok(credit)
}

fn reservation(key: &str, purchase: Purchase) -> Reservation {
    Reservation {
        key: key.to_owned(),
        username: purchase.username,
        amount: purchase.amount.unsigned_abs(),
        credit: purchase.credit,
        state: purchase.state,
    }
}

pub(super) fn no_such_user(username: &str) -> UserStoreError {
    UserStoreError::NoSuchUser {
        username: username.to_owned(),
    }
}

fn no_such_purchase(key: &str) -> UserStoreError {
    UserStoreError::NoSuchPurchase {
        key: key.to_owned(),
    }
}

fn ended(key: &str, state: PurchaseState) -> UserStoreError {
    UserStoreError::PurchaseEnded {
        key: key.to_owned(),
        state,
    }
}
