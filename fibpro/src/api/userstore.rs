//! `fibpro.v1.UserStore`: who the users are, and the only place where credit changes.

use std::fmt;

use rpc_runtime::Secret;
use rpc_runtime::prelude::*;
use serde::{Deserialize, Serialize};

/// The most that a credit can be set to and that a purchase can take. Such numbers are exact also where a reader of JSON
/// keeps them as doubles.
pub const CREDIT_LIMIT: u64 = 1_000_000_000_000_000;

/// The longest name of a user, in characters. None of them is a control character or a colon.
pub const USERNAME_LIMIT: usize = 64;

/// The longest password, in bytes.
pub const PASSWORD_LIMIT: usize = 1024;

/// The longest key of a purchase, in bytes. None of its characters is a control character.
pub const KEY_LIMIT: usize = 255;

/// The most entries of the ledger at once.
pub const LEDGER_LIMIT: u32 = 1000;

/// The users, their passwords and their credit.
///
/// Credit is a whole number of credits, never below zero. What is spent is reserved first, and then either settled or
/// refunded; a reservation that is neither returns to its user after 30 s.
///
/// Everything may be repeated. A purchase is known by the key that its buyer's side made up, among the purchases of all
/// users, and happens once: a repeat gets the first answer, with the credit of then. So a key that an end user has a
/// say in has to be made that user's own before it comes here.
///
/// An argument that is out of its range is `invalid_argument`. Where the database cannot do its work, calls end in
/// `unavailable` or `resource_exhausted`, mostly with a time to come back.
#[rpc_service(package = "fibpro.v1", endpoint = "userstore")]
pub trait UserStore {
    /// The user, if the password is theirs.
    ///
    /// `wrong_credentials` with the same text and after the same work, whether the name or the password was wrong;
    /// `invalid_argument` for a name that nobody can have. `resource_exhausted` when too many passwords wait to be
    /// verified.
    #[rpc(idempotent)]
    async fn verify(
        &self,
        username: &str,
        #[rpc(secret)] password: Secret<String>,
    ) -> Result<User, UserStoreError>;

    /// The user of this name; `None` when there is none.
    #[rpc(no_side_effects)]
    async fn get_user(&self, username: &str) -> Result<Option<User>, UserStoreError>;

    /// Sets the credit; reservations that are under way stay as they are.
    #[rpc(idempotent)]
    async fn set_credit(&self, username: &str, credit: u64) -> Result<User, UserStoreError>;

    /// Takes `amount` out of the user's credit, for the purchase `key`, until it is settled, refunded or expired.
    ///
    /// A repeat with the same user and amount gets the first answer, or, if it is settled by now, what `settle` has
    /// answered; with another user or amount it is `purchase_differs`. A key whose purchase was refunded or has expired
    /// is used up: `purchase_ended`. A purchase that failed for want of credit has not begun, and its key may be used.
    #[rpc(idempotent)]
    async fn reserve(
        &self,
        username: &str,
        amount: u64,
        key: &str,
    ) -> Result<Reservation, UserStoreError>;

    /// Makes the purchase final.
    ///
    /// `purchase_ended` when the credit has gone back, because it was refunded or because 30 s have passed: then nothing
    /// is paid, and the buyer must not get what was to be paid for.
    #[rpc(idempotent)]
    async fn settle(&self, key: &str) -> Result<Reservation, UserStoreError>;

    /// Gives the credit of a purchase back that is not settled.
    ///
    /// Answers also when the purchase has expired: the credit is back. `purchase_ended` when it was settled.
    #[rpc(idempotent)]
    async fn refund(&self, key: &str) -> Result<Reservation, UserStoreError>;

    /// Changes of the user's credit, the newest first: what explains the balance. At most `limit`, which is 1 to 1000.
    #[rpc(no_side_effects)]
    async fn ledger(&self, username: &str, limit: u32) -> Result<Vec<LedgerEntry>, UserStoreError>;
}

/// A user, without anything that is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Name, as it is logged in with.
    pub username: String,
    /// What can be spent now; what is reserved is not in it.
    pub credit: u64,
    /// What the user may do beyond buying, such as `developer`.
    pub roles: Vec<String>,
}

/// A purchase, as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The key that the buyer's side made up.
    pub key: String,
    /// Whose it is.
    pub username: String,
    /// Credits that it takes.
    pub amount: u64,
    /// What the user could spend right after the purchase last changed it: when it was reserved, and when it was given
    /// back. Settling changes no credit.
    pub credit: u64,
    /// How far it is.
    pub state: PurchaseState,
}

/// How far a purchase is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PurchaseState {
    /// The credit is taken, and may come back.
    Reserved,
    /// Paid.
    Settled,
    /// Given back.
    Refunded,
    /// Given back, because nobody said what becomes of it.
    Expired,
}

impl fmt::Display for PurchaseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reserved => "reserved",
            Self::Settled => "settled",
            Self::Refunded => "refunded",
            Self::Expired => "expired",
        })
    }
}

/// One change of a user's credit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// When, in RFC 3339.
    pub time: jiff::Timestamp,
    /// What was added; negative for what was taken.
    pub change: i64,
    /// The credit after it.
    pub credit: u64,
    /// Why: `opening`, `set`, `reserve`, `refund`, `expire`.
    pub reason: String,
    /// The purchase that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What the user store answers instead.
#[derive(Debug, thiserror::Error, RpcError)]
pub enum UserStoreError {
    /// Name or password is wrong; which one is nobody's business.
    #[error("the name or the password is wrong")]
    #[rpc(code = "unauthenticated")]
    WrongCredentials,

    /// There is no such user.
    #[error("there is no user {username}")]
    #[rpc(code = "not_found")]
    NoSuchUser {
        /// Who was asked for.
        username: String,
    },

    /// The user cannot pay that.
    #[error("user {username} has insufficient credit({credit})")]
    #[rpc(code = "failed_precondition")]
    InsufficientCredit {
        /// Who wanted to pay.
        username: String,
        /// What the user has.
        credit: u64,
        /// What it takes.
        amount: u64,
    },

    /// There is no such purchase.
    #[error("there is no purchase {key}")]
    #[rpc(code = "not_found")]
    NoSuchPurchase {
        /// The key.
        key: String,
    },

    /// The purchase has ended another way.
    #[error("the purchase {key} is {state} already")]
    #[rpc(code = "failed_precondition")]
    PurchaseEnded {
        /// The key.
        key: String,
        /// How it ended.
        state: PurchaseState,
    },

    /// The key was used for something else.
    #[error("the key {key} belongs to another purchase")]
    #[rpc(code = "aborted")]
    PurchaseDiffers {
        /// The key.
        key: String,
    },

    /// An argument is out of its range.
    #[error("{argument}: {why}")]
    #[rpc(code = "invalid_argument")]
    Invalid {
        /// Which argument.
        argument: String,
        /// What is wrong with it.
        why: String,
    },

    /// Everything else.
    #[error("{0}")]
    #[rpc(other)]
    Other(Error),
}
