//! The user store: who the users are, and the only place where credit changes.
//!
//! [`Users`] is the service; it checks arguments and passwords, and leaves the money to `store`, where each change is
//! one transaction of the database. Nothing that matters is kept in this process, so several may share a database.

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

/// How long a reservation lives.
pub const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

/// What may be another way, mostly in tests.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where the time comes from.
    pub clock: Clock,
    /// What a password hash costs.
    pub cost: Argon2Cost,
}

/// A [`UserStore`] on a database. Cheap to clone; all clones are one store.
#[derive(Debug, Clone)]
pub struct Users {
    store: Arc<Store>,
    logins: Arc<Logins>,
    _expiry: Arc<Expiry>,
}

impl Users {
    /// Opens the store: brings the schema up to date, adds the users of `list` if there are none yet, and begins to
    /// return reservations that are overdue.
    ///
    /// # Errors
    ///
    /// When the database cannot be opened or belongs to another version of this program.
    pub async fn open(database: &Database, list: UserList) -> Result<Self> {
        Self::open_with(database, list, Settings::default()).await
    }

    /// As [`open`](Self::open), with other settings.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
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

    /// Adds the users of a list if there are none at all: a name that was removed must not come back with the next
    /// start, least of all with the password of a tutorial.
    async fn import(&self, list: UserList) -> Result<()> {
        if self.store.read(HasUsers).await? {
            tracing::debug!("the store has users; those of the list are not added");
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

    /// Returns all reservations that are overdue, and answers how many that were. Happens by itself as well.
    ///
    /// # Errors
    ///
    /// When the database cannot be written.
    pub async fn return_overdue(&self) -> Result<usize> {
        expiry::return_overdue(&self.store).await
    }

    /// How many password hashes this store has made or compared since its start.
    #[must_use]
    pub fn hashes(&self) -> u64 {
        self.logins.passwords().hashed()
    }

    /// Whether the database can be read. For [`Server::ready`](rpc_runtime::Server::ready).
    ///
    /// # Errors
    ///
    /// When it cannot.
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
