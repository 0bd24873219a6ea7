//! Access to the database: runs each operation as one transaction.
//!
//! `operations`, `credit_changes`, `members` and `imports` define the operations, `ledger` and
//! `accounts` hold the SQL, `session` hides the difference between the databases. `sqlite` and
//! `postgres` run transactions: SQLite allows one writer, so waiting operations share a transaction
//! there; PostgreSQL allows many, and groups commits itself.

mod accounts;
mod audit;
mod credit_changes;
mod error;
mod imports;
mod ledger;
mod lock_wait;
mod marker;
mod members;
mod operations;
mod postgres;
mod postgres_error;
mod postgres_sessions;
mod postgres_start;
mod session;
mod soundness;
mod sqlite;
mod sqlite_access;
mod sqlite_file;
mod sqlite_rescue;
mod sqlite_start;
mod sqlite_wal;
mod sqlite_writer;
mod start_lock;
mod turns;
mod write_queue;

use rpc_runtime::Result;

pub(super) use self::audit::Actor;
pub(super) use self::credit_changes::{ChangeCredit, ChangeRule, SetCredit};
pub(super) use self::imports::{FindImport, FindUsernames, HasUsers, Import};
pub(super) use self::ledger::{Account, NewUser};
pub(super) use self::marker::StoreMarker;
pub(super) use self::members::{AddUser, ChangeRoles, SetPassword};
use self::operations::WriteCheck;
pub(super) use self::operations::{
    FindAccount, FindBuyer, FindOverdue, Operation, ReadLedger, Refund, Reserve, ReturnOverdue,
    Settle, Settled,
};
pub(super) use self::soundness::{CheckDepth, changes, count, find_fault};
pub(super) use self::sqlite_file::{check_database_files, folder_of, with_suffix};
pub(super) use self::sqlite_rescue::copy_into;
pub(super) use self::sqlite_start::open_unchanged;
pub(super) use self::start_lock::StartLock;
use self::write_queue::WriteQueue;
use super::clock::Clock;
use super::database::Database;

/// Connection to one of the databases.
#[derive(Debug)]
pub(super) struct Store {
    engine: Engine,
    queue: WriteQueue,
}

#[derive(Debug)]
enum Engine {
    Sqlite(sqlite::Engine),
    Postgres(postgres::Engine),
}

impl Store {
    /// Connects and applies migrations. The lock is to be released when the store may be used.
    pub(super) async fn open(
        database: &Database,
        clock: Clock,
        wal_limit: u64,
    ) -> Result<(Self, StartLock)> {
        let (engine, lock) = match database {
            Database::Sqlite(options) => {
                let path = options.get_filename();
                sqlite_access::check(path)?;
                let opened = sqlite::Engine::open(database, options, clock, wal_limit).await;
                let (engine, lock) = opened.map_err(|error| sqlite_access::explain(path, error))?;
                (Engine::Sqlite(engine), lock)
            }
            Database::Postgres(options) => {
                let (engine, session) = postgres::Engine::open(database, options, clock).await?;
                (Engine::Postgres(engine), StartLock::Session(session))
            }
        };
        let queue = WriteQueue::default();
        Ok((Self { engine, queue }, lock))
    }

    /// Runs an operation in a transaction.
    ///
    /// # Errors
    ///
    /// `unavailable` and `resource_exhausted`, mostly with a retry delay, when the database is
    /// locked, full or unreachable, or too many operations wait. Nothing was changed then, unless
    /// the connection broke during the commit.
    ///
    /// # Cancellation
    ///
    /// An operation that waits is not started. One that was started is finished and logged.
    pub(super) async fn write<O: Operation>(&self, operation: O) -> Result<O::Output> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.write(operation, &self.queue).await,
            Engine::Postgres(engine) => engine.write(operation, &self.queue).await,
        }
    }

    /// Runs a read-only operation without a transaction. Works also while writing fails.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write).
    pub(super) async fn read<O: Operation>(&self, operation: O) -> Result<O::Output> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.read(operation).await,
            Engine::Postgres(engine) => engine.read(operation).await,
        }
    }

    /// Checks that the users can be read, and that an operation could be written now.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write).
    pub(super) async fn ready(&self) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(engine) => {
                engine.read(HasUsers).await?;
                engine.writable(WriteCheck, &self.queue).await
            }
            Engine::Postgres(engine) => engine.ready(HasUsers, WriteCheck, &self.queue).await,
        }
    }

    /// Refuses a database without users that has had users.
    pub(super) fn check_empty(&self) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(engine) if engine.marker().had_users() => {
                Err(engine.marker().lost("has no users", &[]))
            }
            _ => Ok(()),
        }
    }

    /// Remembers that the database has users.
    pub(super) fn remember_users(&self) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.marker().remember_users(),
            Engine::Postgres(_) => Ok(()),
        }
    }

    /// Finishes the operations that have begun and closes all connections. An SQLite database is
    /// in its main file after that.
    ///
    /// # Errors
    ///
    /// `unavailable` if a file of the database was removed or replaced.
    pub(super) async fn close(&self) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(engine) => engine.close().await,
            Engine::Postgres(engine) => engine.close().await,
        }
    }
}
