//! The user store: users, passwords and credit. Credit changes nowhere else.
//!
//! [`Users`] implements the service: it validates arguments, verifies passwords, and runs each
//! change of credit as one transaction in `store`. The process keeps no authoritative state, so
//! several processes can share a database.

mod access;
mod backup;
mod clock;
mod database;
mod expiry;
mod first_users;
mod guesses;
mod hashing;
mod import;
mod logins;
mod members;
mod names;
mod passwords;
mod progress;
mod store;
mod validate;

pub use self::backup::{BackupSummary, Restored, backup, restore};
pub use self::clock::Clock;
pub use self::database::Database;
pub use self::hashing::Argon2Cost;
pub use self::import::UserList;
pub use self::progress::Progress;

use std::sync::Arc;
use std::time::Duration;

use rpc_runtime::{Result, Secret};

use self::access::Caller;
use self::expiry::Expiry;
use self::logins::Logins;
use self::store::{
    Account, Actor, ChangeCredit, ChangeRule, FindBuyer, ReadLedger, Refund, Reserve,
    ReturnOverdue, SetCredit, Settle, Settled, Store,
};
use super::event_log::EventLog;
use super::normal;
use crate::api::userstore::{
    CreditChange, LedgerEntry, LedgerPage, Reservation, User, UserStore, UserStoreError,
};

/// Time after which an open reservation expires.
pub const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

/// Settings that differ between programs and tests.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Source of the current time.
    pub clock: Clock,
    /// Cost of a password hash.
    pub cost: Argon2Cost,
    /// Receiver of reports while the database is opened and users are added.
    pub progress: Progress,
    /// Maximum length of `-wal` of an SQLite database while another process reads it, in bytes.
    /// Nothing is changed beyond it.
    pub wal_limit: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clock: Clock::default(),
            cost: Argon2Cost::default(),
            progress: Progress::default(),
            wal_limit: 256 << 20,
        }
    }
}

/// Implements [`UserStore`] on a database. Cheap to clone; clones share one store.
#[derive(Debug, Clone)]
pub struct Users {
    store: Arc<Store>,
    logins: Arc<Logins>,
    failed_logins: EventLog<String>,
    expiry: Arc<Expiry>,
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
        let progress = settings.progress;
        let opening = Store::open(database, settings.clock, settings.wal_limit);
        let opening = progress.during(opening, |elapsed| {
            let seconds = elapsed.as_secs();
            format!(
                "opening the users' database: {seconds} s; another user store may be adding users to it, and after an \
                 unclean end all of it is checked"
            )
        });
        let (store, lock) = opening.await?;
        first_users::add(&store, list, settings.cost, &progress).await?;
        lock.release().await;
        let store = Arc::new(store);
        Ok(Self {
            expiry: Arc::new(Expiry::start(Arc::clone(&store))),
            store,
            logins: Arc::new(Logins::new(settings.cost)?),
            failed_logins: EventLog::new("wrong passwords", |name| format!("for {name:?}")),
        })
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

    /// Checks that the database can be read and changed. For
    /// [`Server::ready`](rpc_runtime::Server::ready).
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, when it is locked by another process or read-only,
    /// and when its files were removed or replaced. A full disk is no error.
    pub async fn ready(&self) -> Result<()> {
        self.store.ready().await
    }

    /// Finishes the operations that have begun and closes the database. An SQLite database is in
    /// its main file after that, and calls fail.
    ///
    /// # Errors
    ///
    /// `unavailable` if a file of the database was removed or replaced while it was open.
    pub async fn close(&self) -> Result<()> {
        self.expiry.stop();
        self.store.close().await
    }

    async fn set_credit_of(
        &self,
        username: String,
        credit: i64,
        actor: Actor,
    ) -> Result<User, UserStoreError> {
        let operation = SetCredit {
            username: username.clone(),
            credit,
            actor,
        };
        let account = self.store.write(operation).await??;
        Ok(user(&username, account))
    }

    /// Changes a credit once for a key.
    async fn change_credit(
        &self,
        caller: Caller,
        username: &str,
        rule: ChangeRule,
        key: &str,
    ) -> Result<CreditChange, UserStoreError> {
        let actor = &caller.actor();
        validate::key(key)?;
        let change = |username| async move {
            let change = ChangeCredit {
                username,
                rule,
                key: key.to_owned(),
                actor: actor.clone(),
            };
            self.store.write(change).await?
        };
        self.with_stored_name(username, change).await
    }

    async fn ledger_of(
        &self,
        username: String,
        before: Option<u64>,
        limit: u32,
    ) -> Result<LedgerPage, UserStoreError> {
        let read = || {
            self.store.read(ReadLedger {
                username: username.clone(),
                before,
                limit,
            })
        };
        let (page, is_overdue) = read().await??;
        if !is_overdue {
            return Ok(page);
        }
        let username = username.clone();
        self.store.write(ReturnOverdue { username }).await?;
        Ok(read().await??.0)
    }
}

impl UserStore for Users {
    async fn verify(
        &self,
        username: &str,
        password: Secret<String>,
    ) -> Result<User, UserStoreError> {
        Caller::acting_for(username)?;
        let normal = &*normal::nfc(username);
        validate::username(normal)?;
        validate::password(password.expose())?;
        let found = self.find(username).await?;
        let hash = found
            .as_ref()
            .map(|(_, account)| account.password_hash.as_str());
        let is_right = self.logins.verify(normal, &password, hash).await?;
        match found {
            Some((username, account)) if is_right => Ok(user(&username, account)),
            found => {
                if let Some((username, _)) = found
                    && self.failed_logins.record(&username, "")
                {
                    tracing::warn!("Wrong password for {username:?}");
                }
                Err(UserStoreError::WrongCredentials)
            }
        }
    }

    async fn get_user(&self, username: &str) -> Result<Option<User>, UserStoreError> {
        Caller::acting_for(username)?;
        validate::username(&normal::nfc(username))?;
        let found = self.find(username).await?;
        Ok(found.map(|(username, account)| user(&username, account)))
    }

    async fn set_credit(&self, username: &str, credit: u64) -> Result<User, UserStoreError> {
        let actor = Caller::crediting(username)?.actor();
        let credit = validate::credit(credit)?;
        let set = |username| self.set_credit_of(username, credit, actor.clone());
        self.with_stored_name(username, set).await
    }

    async fn deposit(
        &self,
        username: &str,
        change: i64,
        floor: u64,
        key: &str,
    ) -> Result<CreditChange, UserStoreError> {
        let caller = Caller::crediting(username)?;
        validate::change(change)?;
        let floor = validate::credit_as("floor", floor)?;
        let rule = ChangeRule::Add { change, floor };
        self.change_credit(caller, username, rule, key).await
    }

    async fn compare_and_set_credit(
        &self,
        username: &str,
        expected: u64,
        credit: u64,
        key: &str,
    ) -> Result<CreditChange, UserStoreError> {
        let caller = Caller::crediting(username)?;
        let expected = validate::credit_as("expected", expected)?;
        let credit = validate::credit(credit)?;
        let rule = ChangeRule::Replace { expected, credit };
        self.change_credit(caller, username, rule, key).await
    }

    async fn add_user(
        &self,
        username: &str,
        password: Secret<String>,
        credit: u64,
        roles: Vec<String>,
    ) -> Result<User, UserStoreError> {
        self.add_member(username, password, credit, roles).await
    }

    async fn set_password(
        &self,
        username: &str,
        password: Secret<String>,
    ) -> Result<User, UserStoreError> {
        self.set_password_of(username, password).await
    }

    async fn change_roles(
        &self,
        username: &str,
        add: Vec<String>,
        remove: Vec<String>,
    ) -> Result<User, UserStoreError> {
        self.change_roles_of(username, &add, &remove).await
    }

    async fn reserve(
        &self,
        username: &str,
        amount: u64,
        key: &str,
    ) -> Result<Reservation, UserStoreError> {
        let actor = &Caller::acting_for(username)?.actor();
        validate::key(key)?;
        let amount = validate::amount(amount)?;
        let reserve = |username| async move {
            let reserve = Reserve {
                username,
                amount,
                key: key.to_owned(),
                lifetime: RESERVATION_LIFETIME,
                actor: actor.clone(),
            };
            self.store.write(reserve).await?
        };
        self.with_stored_name(username, reserve).await
    }

    async fn settle(&self, key: &str) -> Result<Reservation, UserStoreError> {
        validate::key(key)?;
        let caller = Caller::current();
        let mut of_user = caller.only_user().map(str::to_owned);
        loop {
            let settle = Settle {
                key: key.to_owned(),
                of_user: of_user.clone(),
                actor: caller.actor(),
            };
            match self.store.write(settle).await?? {
                Settled::Ended(reservation) => return Ok(reservation),
                Settled::Overdue { username } => {
                    self.store.write(ReturnOverdue { username }).await?;
                }
                Settled::OfOther { username } => {
                    caller.check(&username)?;
                    // The same user, whose name is stored in another spelling.
                    of_user = Some(username);
                }
            }
        }
    }

    async fn refund(&self, key: &str) -> Result<Reservation, UserStoreError> {
        validate::key(key)?;
        let caller = Caller::current();
        let key = key.to_owned();
        if caller.only_user().is_some() {
            // Before the change, which would wait in the queue of the other user. The user of a
            // purchase never changes.
            let buyer = self.store.read(FindBuyer { key: key.clone() }).await?;
            match buyer {
                Some(buyer) => caller.check(&buyer)?,
                None => return Err(UserStoreError::NoSuchPurchase { key }),
            }
        }
        let actor = caller.actor();
        self.store.write(Refund { key, actor }).await?
    }

    async fn ledger(&self, username: &str, limit: u32) -> Result<Vec<LedgerEntry>, UserStoreError> {
        Ok(self.ledger_page(username, None, limit).await?.entries)
    }

    async fn ledger_page(
        &self,
        username: &str,
        before: Option<u64>,
        limit: u32,
    ) -> Result<LedgerPage, UserStoreError> {
        Caller::acting_for(username)?;
        validate::limit(limit)?;
        let read = |username| self.ledger_of(username, before, limit);
        self.with_stored_name(username, read).await
    }
}

fn user(username: &str, account: Account) -> User {
    User {
        username: username.to_owned(),
        credit: account.credit,
        roles: account.roles,
    }
}
