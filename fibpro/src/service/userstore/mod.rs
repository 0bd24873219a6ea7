//! The user store: users, passwords and credit. Credit changes nowhere else.
//!
//! [`Users`] implements the service: it validates arguments, verifies passwords, and runs each
//! change of credit as one transaction in `store`. The process keeps no authoritative state, so
//! several processes can share a database.

mod clock;
mod database;
mod expiry;
mod import;
mod login_cache;
mod logins;
mod passwords;
mod store;
mod validate;

pub use self::clock::Clock;
pub use self::database::Database;
pub use self::import::UserList;
pub use self::passwords::Argon2Cost;

use std::sync::Arc;
use std::time::Duration;

use rpc_runtime::{Result, Secret};

use self::expiry::Expiry;
use self::logins::Logins;
use self::store::{
    Account, FindAccount, HasUsers, Import, NewUser, ReadLedger, Refund, Reserve, ReturnOverdue,
    SetCredit, Settle, Store,
};
use crate::api::userstore::{LedgerEntry, Reservation, User, UserStore, UserStoreError};

/// Time after which an open reservation expires.
pub const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

/// Settings that differ in tests.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Source of the current time.
    pub clock: Clock,
    /// Cost of a password hash.
    pub cost: Argon2Cost,
}

/// Implements [`UserStore`] on a database. Cheap to clone; clones share one store.
#[derive(Debug, Clone)]
pub struct Users {
    store: Arc<Store>,
    logins: Arc<Logins>,
    _expiry: Arc<Expiry>,
}

impl Users {
    /// Opens the database, applies migrations, adds the users of `list` if there are no users, and
    /// starts the task that returns expired reservations.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be opened or belongs to another version of this program.
    pub async fn open(database: &Database, list: UserList) -> Result<Self> {
        Self::open_with(database, list, Settings::default()).await
    }

    /// Like [`open`](Self::open), with other settings.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub async fn open_with(
        database: &Database,
        list: UserList,
        settings: Settings,
    ) -> Result<Self> {
        let store = Arc::new(Store::open(database, settings.clock).await?);
        let logins = Arc::new(Logins::new(settings.cost)?);
        let users = Self {
            _expiry: Arc::new(Expiry::start(Arc::clone(&store))),
            store,
            logins,
        };
        users.import(list).await?;
        Ok(users)
    }

    /// Adds the users of a list only if there are no users: otherwise a removed user would return
    /// at the next start, with a publicly known password in the case of the tutorial.
    async fn import(&self, list: UserList) -> Result<()> {
        if self.store.read(HasUsers).await? {
            tracing::debug!("the database already has users; no users are imported");
            return Ok(());
        }
        let mut users = Vec::with_capacity(list.len());
        for user in list.into_members() {
            users.push(NewUser {
                password_hash: self.logins.passwords().hash(user.password).await?,
                credit: user.credit,
                username: user.username,
                roles: user.roles,
            });
        }
        self.store.write(Import(users)).await
    }

    /// Returns all expired reservations to their users. Returns their number. A background task
    /// does the same every few seconds.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be written.
    pub async fn return_overdue(&self) -> Result<usize> {
        expiry::return_overdue(&self.store).await
    }

    /// Returns how many password hashes were computed since the start.
    #[must_use]
    pub fn hashes(&self) -> u64 {
        self.logins.passwords().hashed()
    }

    /// Checks that the database can be read. For [`Server::ready`](rpc_runtime::Server::ready).
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read.
    pub async fn ready(&self) -> Result<()> {
        self.store.read(HasUsers).await.map(drop)
    }

    async fn account(&self, username: &str) -> Result<Option<Account>> {
        let username = username.to_owned();
        self.store.read(FindAccount { username }).await
    }
}

impl UserStore for Users {
    async fn verify(
        &self,
        username: &str,
        password: Secret<String>,
    ) -> Result<User, UserStoreError> {
        validate::username(username)?;
        validate::password(password.expose())?;
        let account = self.account(username).await?;
        let hash = account
            .as_ref()
            .map(|account| account.password_hash.as_str());
        let is_right = self.logins.verify(username, &password, hash).await?;
        match account {
            Some(account) if is_right => Ok(user(username, account)),
            _ => Err(UserStoreError::WrongCredentials),
        }
    }

    async fn get_user(&self, username: &str) -> Result<Option<User>, UserStoreError> {
        validate::username(username)?;
        let account = self.account(username).await?;
        Ok(account.map(|account| user(username, account)))
    }

    async fn set_credit(&self, username: &str, credit: u64) -> Result<User, UserStoreError> {
        validate::username(username)?;
        let operation = SetCredit {
            username: username.to_owned(),
            credit: validate::credit(credit)?,
        };
        let account = self.store.write(operation).await??;
        Ok(user(username, account))
    }

    async fn reserve(
        &self,
        username: &str,
        amount: u64,
        key: &str,
    ) -> Result<Reservation, UserStoreError> {
        validate::username(username)?;
        validate::key(key)?;
        let operation = Reserve {
            username: username.to_owned(),
            amount: validate::amount(amount)?,
            key: key.to_owned(),
            lifetime: RESERVATION_LIFETIME,
        };
        self.store.write(operation).await?
    }

    async fn settle(&self, key: &str) -> Result<Reservation, UserStoreError> {
        validate::key(key)?;
        let key = key.to_owned();
        self.store.write(Settle { key }).await?
    }

    async fn refund(&self, key: &str) -> Result<Reservation, UserStoreError> {
        validate::key(key)?;
        let key = key.to_owned();
        self.store.write(Refund { key }).await?
    }

    async fn ledger(&self, username: &str, limit: u32) -> Result<Vec<LedgerEntry>, UserStoreError> {
        validate::username(username)?;
        validate::limit(limit)?;
        let username = username.to_owned();
        let read = || {
            self.store.read(ReadLedger {
                username: username.clone(),
                limit,
            })
        };
        let (entries, is_overdue) = read().await??;
        if !is_overdue {
            return Ok(entries);
        }
        let username = username.clone();
        self.store.write(ReturnOverdue { username }).await?;
        Ok(read().await??.0)
    }
}

fn user(username: &str, account: Account) -> User {
    User {
        username: username.to_owned(),
        credit: account.credit,
        roles: account.roles,
    }
}
