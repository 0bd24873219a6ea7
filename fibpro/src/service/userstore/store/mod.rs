//! Access to the database: runs each operation as one transaction.
//!
//! `operations` defines the operations, `ledger` holds the SQL, `session` hides the difference
//! between the databases. `sqlite` and `postgres` run transactions: SQLite allows one writer, so
//! waiting operations share a transaction there; PostgreSQL allows many, and groups commits itself.

mod audit;
mod error;
mod ledger;
mod lock_wait;
mod marker;
mod operations;
mod postgres;
mod postgres_error;
mod session;
mod soundness;
mod sqlite;
mod sqlite_access;
mod sqlite_file;
mod sqlite_rescue;
mod sqlite_start;
mod sqlite_writer;

use rpc_runtime::Result;

pub(super) use self::ledger::{Account, NewUser};
pub(super) use self::marker::StoreMarker;
use self::operations::WriteCheck;
pub(super) use self::operations::{
    FindAccount, FindOverdue, HasUsers, Import, Operation, ReadLedger, Refund, Reserve,
    ReturnOverdue, SetCredit, Settle,
};
pub(super) use self::soundness::{CheckDepth, changes, count, find_fault};
pub(super) use self::sqlite_file::{check_database_files, folder_of, with_suffix};
pub(super) use self::sqlite_rescue::copy_into;
pub(super) use self::sqlite_start::open_unchanged;
use super::clock::Clock;
use super::database::Database;

/// Connection to one of the databases.
#[derive(Debug)]
pub(super) enum Store {
    Sqlite(sqlite::Engine),
    Postgres(postgres::Engine),
}

impl Store {
    /// Connects and applies migrations.
    pub(super) async fn open(database: &Database, clock: Clock) -> Result<Self> {
        Ok(match database {
            Database::Sqlite(options) => {
                let path = options.get_filename();
                sqlite_access::check(path)?;
                let opened = sqlite::Engine::open(database, options, clock).await;
                Self::Sqlite(opened.map_err(|error| sqlite_access::explain(path, error))?)
            }
            Database::Postgres(options) => {
                Self::Postgres(postgres::Engine::open(database, options, clock).await?)
            }
        })
    }

    /// Runs an operation in a transaction.
    ///
    /// # Errors
    ///
    /// `unavailable` and `resource_exhausted`, mostly with a retry delay, when the database is
    /// locked, full or unreachable. Nothing was changed then, unless the connection broke during
    /// the commit.
    ///
    /// # Cancellation
    ///
    /// A started operation is finished and logged.
    pub(super) async fn write<O: Operation>(&self, operation: O) -> Result<O::Output> {
        match self {
            Self::Sqlite(engine) => engine.write(operation).await,
            Self::Postgres(engine) => engine.write(operation).await,
        }
    }

    /// Runs a read-only operation without a transaction. Works also while writing fails.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write).
    pub(super) async fn read<O: Operation>(&self, operation: O) -> Result<O::Output> {
        match self {
            Self::Sqlite(engine) => engine.read(operation).await,
            Self::Postgres(engine) => engine.read(operation).await,
        }
    }

    /// Checks that the users can be read, and that an operation could be written now.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write).
    pub(super) async fn ready(&self) -> Result<()> {
        match self {
            Self::Sqlite(engine) => {
                engine.read(HasUsers).await?;
                engine.writable(WriteCheck).await
            }
            Self::Postgres(engine) => engine.ready(HasUsers, WriteCheck).await,
        }
    }

    /// Refuses a database without users that has had users.
    pub(super) fn check_empty(&self) -> Result<()> {
        match self {
            Self::Sqlite(engine) if engine.marker().had_users() => {
                Err(engine.marker().lost("has no users", &[]))
            }
            _ => Ok(()),
        }
    }

    /// Remembers that the database has users.
    pub(super) fn remember_users(&self) -> Result<()> {
        match self {
            Self::Sqlite(engine) => engine.marker().remember_users(),
            Self::Postgres(_) => Ok(()),
        }
    }

    /// Finishes the operations that have begun and closes all connections. An SQLite database is
    /// in its main file after that.
    ///
    /// # Errors
    ///
    /// `unavailable` if a file of the database was removed or replaced.
    pub(super) async fn close(&self) -> Result<()> {
        match self {
            Self::Sqlite(engine) => engine.close().await,
            Self::Postgres(engine) => engine.close().await,
        }
    }
}
