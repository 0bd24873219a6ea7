//! `fibpro.v1.UserStore`: users, passwords and credit.

use std::fmt;

use rpc_runtime::Secret;
use rpc_runtime::prelude::*;
use serde::{Deserialize, Serialize};

/// Maximum credit and maximum amount of a purchase. JSON readers that use doubles represent these
/// numbers exactly.
pub const CREDIT_LIMIT: u64 = 1_000_000_000_000_000;

/// Maximum length of a user name, in characters. Control characters and colons are not allowed.
pub const USERNAME_LIMIT: usize = 64;

/// Maximum length of a password, in bytes.
pub const PASSWORD_LIMIT: usize = 1024;

/// Maximum length of a purchase key, in bytes. Control characters are not allowed.
pub const KEY_LIMIT: usize = 255;

/// Maximum number of ledger entries per call.
pub const LEDGER_LIMIT: u32 = 1000;

/// Role of a user who may act for all users, change their credit and roles, and add users.
pub const OPERATOR: &str = "operator";

/// Maximum number of roles of a user.
pub const ROLES_LIMIT: usize = 16;

/// Stores users, their passwords and their credit.
///
/// A call that is made for a user, the principal, may be about this user only, unless the user has
/// the role [`OPERATOR`]: else it is `permission_denied`, whatever it asks for. A call without one
/// is made by a service on its own behalf, which may act for all users. `set_credit`, `deposit` and
/// `compare_and_set_credit` are `permission_denied` for the user itself as well.
///
/// Credit is an integer and never negative. An amount is first reserved, and then settled or
/// refunded; an open reservation is returned after 30 s.
///
/// All methods but `set_credit`, `add_user` and `set_password` can be repeated. The caller chooses
/// the key of a purchase or a deposit, which is unique among all users. A repeat returns the first
/// result, with the credit at that time. A key that an end user can influence must be made unique
/// to that user before.
///
/// Invalid arguments are `invalid_argument`. Database errors are `unavailable` or
/// `resource_exhausted`, mostly with a retry delay.
#[rpc_service(package = "fibpro.v1", endpoint = "userstore")]
pub trait UserStore {
    /// Returns the user if the password is correct.
    ///
    /// `wrong_credentials` for an unknown user and a wrong password alike, with the same text and
    /// after the same work; `invalid_argument` for a name that is not valid; `resource_exhausted`
    /// when too many verifications wait.
    #[rpc(idempotent)]
    async fn verify(
        &self,
        username: &str,
        #[rpc(secret)] password: Secret<String>,
    ) -> Result<User, UserStoreError>;

    /// Returns the user of this name; `None` if there is none.
    #[rpc(no_side_effects)]
    async fn get_user(&self, username: &str) -> Result<Option<User>, UserStoreError>;

    /// Sets the credit, whatever it is. Open reservations are not changed.
    ///
    /// Clients do not repeat it by themselves, because a repeat undoes what was bought in between.
    /// `deposit` and `compare_and_set_credit` can be repeated.
    async fn set_credit(&self, username: &str, credit: u64) -> Result<User, UserStoreError>;

    /// Adds `change` to the credit, once for `key`. A negative `change` is taken from it, and
    /// leaves at least `floor`.
    ///
    /// A repeat with the same user and change returns the first result; other ones are
    /// `key_differs`. A deposit that failed because of insufficient credit has not happened, and
    /// its key can be used.
    #[rpc(idempotent)]
    async fn deposit(
        &self,
        username: &str,
        change: i64,
        #[rpc(default)] floor: u64,
        key: &str,
    ) -> Result<CreditChange, UserStoreError> {
        let _ = (username, change, floor, key);
        Err(not_supported("deposits"))
    }

    /// Sets the credit to `credit` if it is `expected`, once for `key`; else `credit_differs`.
    ///
    /// A repeat with the same user and numbers returns the first result, whatever the credit is by
    /// then; other ones are `key_differs`.
    #[rpc(idempotent)]
    async fn compare_and_set_credit(
        &self,
        username: &str,
        expected: u64,
        credit: u64,
        key: &str,
    ) -> Result<CreditChange, UserStoreError> {
        let _ = (username, expected, credit, key);
        Err(not_supported("conditional changes of credit"))
    }

    /// Takes `amount` from the user's credit for the purchase `key`, until it is settled, refunded
    /// or expired.
    ///
    /// A repeat with the same user and amount returns the first result, or the result of `settle`
    /// after that; a different user or amount is `purchase_differs`. After a refund or expiry, the
    /// key cannot be used again: `purchase_ended`. A purchase that failed because of insufficient
    /// credit has not started, and its key can be used.
    #[rpc(idempotent)]
    async fn reserve(
        &self,
        username: &str,
        amount: u64,
        key: &str,
    ) -> Result<Reservation, UserStoreError>;

    /// Makes the purchase final.
    ///
    /// `purchase_ended` if the credit was returned by a refund or after 30 s: nothing is paid then,
    /// and the buyer must not receive the goods.
    #[rpc(idempotent)]
    async fn settle(&self, key: &str) -> Result<Reservation, UserStoreError>;

    /// Returns the credit of an open purchase to its user.
    ///
    /// Also succeeds for an expired purchase, whose credit was returned already. `purchase_ended`
    /// if it was settled.
    #[rpc(idempotent)]
    async fn refund(&self, key: &str) -> Result<Reservation, UserStoreError>;

    /// Returns changes of the user's credit, newest first. At most `limit`, which is 1 to 1000.
    #[rpc(no_side_effects)]
    async fn ledger(&self, username: &str, limit: u32) -> Result<Vec<LedgerEntry>, UserStoreError>;

    /// Returns a page of the changes of the user's credit, newest first. At most `limit`, which is
    /// 1 to 1000. `before` is `next` of the previous page; without it, the page is the first one.
    #[rpc(no_side_effects)]
    async fn ledger_page(
        &self,
        username: &str,
        before: Option<u64>,
        limit: u32,
    ) -> Result<LedgerPage, UserStoreError>;

    /// Adds a user. For operators.
    ///
    /// `user_exists` if there is one of this name, in any spelling.
    async fn add_user(
        &self,
        username: &str,
        #[rpc(secret)] password: Secret<String>,
        #[rpc(default)] credit: u64,
        #[rpc(default)] roles: Vec<String>,
    ) -> Result<User, UserStoreError> {
        let _ = (username, password, credit, roles);
        Err(not_supported("new users"))
    }

    /// Sets the password. For operators, and for the user itself.
    ///
    /// Clients do not repeat it by themselves, because a late repeat undoes a later change. Logins
    /// with the old password are refused from now on.
    async fn set_password(
        &self,
        username: &str,
        #[rpc(secret)] password: Secret<String>,
    ) -> Result<User, UserStoreError> {
        let _ = (username, password);
        Err(not_supported("new passwords"))
    }

    /// Adds roles to a user and removes others. For operators.
    ///
    /// A role that the user has, or has not, is no error. It counts from the next login on.
    #[rpc(idempotent)]
    async fn change_roles(
        &self,
        username: &str,
        #[rpc(default)] add: Vec<String>,
        #[rpc(default)] remove: Vec<String>,
    ) -> Result<User, UserStoreError> {
        let _ = (username, add, remove);
        Err(not_supported("changes of roles"))
    }
}

fn not_supported(what: &str) -> UserStoreError {
    let text = format!("this user store does not support {what}");
    Error::new(Code::Unimplemented, text).into()
}

/// A user, without secret data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Login name.
    pub username: String,
    /// Available credit, without reserved amounts.
    pub credit: u64,
    /// Additional permissions, such as `developer`.
    pub roles: Vec<String>,
}

/// State of a purchase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Key that the caller chose.
    pub key: String,
    /// Name of the user.
    pub username: String,
    /// Amount in credits.
    pub amount: u64,
    /// User's credit after the last change by this purchase: its reservation or its return.
    /// Settling changes no credit.
    pub credit: u64,
    /// State of the purchase.
    pub state: PurchaseState,
}

/// States of a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PurchaseState {
    /// The amount is taken and may be returned.
    Reserved,
    /// Paid.
    Settled,
    /// Returned on request.
    Refunded,
    /// Returned because the purchase was neither settled nor refunded in time.
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

/// Result of a deposit or of a conditional change of credit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditChange {
    /// Key that the caller chose.
    pub key: String,
    /// Name of the user.
    pub username: String,
    /// Added amount; negative if taken.
    pub change: i64,
    /// Credit after the change.
    pub credit: u64,
}

/// Change of a user's credit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Time in RFC 3339.
    pub time: jiff::Timestamp,
    /// Added amount; negative if taken.
    pub change: i64,
    /// Credit after the change.
    pub credit: u64,
    /// Reason: `opening`, `set`, `deposit`, `withdraw`, `reserve`, `refund` or `expire`.
    pub reason: String,
    /// Key of the purchase or the deposit, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The server or program that made the change; `-` for a caller without a name. None for a
    /// change of the store itself, and for a purchase that a service made on its own behalf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The user of the call that made the change: the user of the ledger, or an operator. None for
    /// a service that acted on its own behalf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
}

/// A page of the changes of a user's credit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerPage {
    /// Newest first.
    pub entries: Vec<LedgerEntry>,
    /// `before` of the next page; `None` if this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Errors of the user store.
#[derive(Debug, thiserror::Error, RpcError)]
pub enum UserStoreError {
    /// The name or the password is wrong. The error does not tell which.
    #[error("wrong user name or password")]
    #[rpc(code = "unauthenticated")]
    WrongCredentials,

    /// The user does not exist.
    #[error("user {username} does not exist")]
    #[rpc(code = "not_found")]
    NoSuchUser {
        /// The requested name.
        username: String,
    },

    /// There is a user of this name.
    #[error("user {username} exists already")]
    #[rpc(code = "already_exists")]
    UserExists {
        /// The name as it is stored.
        username: String,
    },

    /// The user's credit is too low.
    #[error("user {username} has insufficient credit({credit})")]
    #[rpc(code = "failed_precondition")]
    InsufficientCredit {
        /// Name of the user.
        username: String,
        /// Current credit.
        credit: u64,
        /// Required amount.
        amount: u64,
    },

    /// The purchase does not exist.
    #[error("purchase {key} does not exist")]
    #[rpc(code = "not_found")]
    NoSuchPurchase {
        /// The requested key.
        key: String,
    },

    /// The purchase has ended in another state.
    #[error("purchase {key} is already {state}")]
    #[rpc(code = "failed_precondition")]
    PurchaseEnded {
        /// Key of the purchase.
        key: String,
        /// Its final state.
        state: PurchaseState,
    },

    /// The key was used for a different user or amount.
    #[error("purchase key {key} was used with another user or amount; use a different key")]
    #[rpc(code = "aborted")]
    PurchaseDiffers {
        /// The key.
        key: String,
    },

    /// The key of a deposit was used for a different one.
    #[error("key {key} was used for another change of credit; use a different key")]
    #[rpc(code = "aborted")]
    KeyDiffers {
        /// The key.
        key: String,
    },

    /// The credit is not the expected one.
    #[error("user {username} has credit {credit}, not {expected}")]
    #[rpc(code = "aborted")]
    CreditDiffers {
        /// Name of the user.
        username: String,
        /// Current credit.
        credit: u64,
        /// Expected credit.
        expected: u64,
    },

    /// The credit would exceed [`CREDIT_LIMIT`].
    #[error(
        "user {username} has credit {credit}, to which {change} cannot be added: the limit is {CREDIT_LIMIT}"
    )]
    #[rpc(code = "failed_precondition")]
    CreditLimitExceeded {
        /// Name of the user.
        username: String,
        /// Current credit.
        credit: u64,
        /// Amount to be added.
        change: i64,
    },

    /// The call is made for a user who may not act for the user that it is about.
    #[error("user {caller} may not act for another user; that takes the role `{OPERATOR}`")]
    #[rpc(code = "permission_denied")]
    OtherUser {
        /// The user of the call.
        caller: String,
    },

    /// The call is not made for an operator.
    #[error("this takes a call that is made for a user with the role `{OPERATOR}`")]
    #[rpc(code = "permission_denied")]
    OperatorRequired,

    /// An argument is not valid.
    #[error("{argument}: {why}")]
    #[rpc(code = "invalid_argument")]
    Invalid {
        /// Name of the argument.
        argument: String,
        /// Description of the error.
        why: String,
    },

    /// Any other error.
    #[error("{0}")]
    #[rpc(other)]
    Other(Error),
}
