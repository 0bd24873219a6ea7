//! The seam to the databases: operations go in, and are done wholly or not at all.
//!
//! `operations` says what can be done, `books` has the statements, `session` makes the two databases look alike to
//! them. `sqlite` and `postgres` are about transactions: SQLite has one writer, so that one makes a group of what waits;
//! PostgreSQL has many, and groups by itself.

mod audit;
mod error;
mod ledger;
mod operations;
mod postgres;
mod session;
mod sqlite;

use rpc_runtime::Result;

pub(super) use self::ledger::{Account, NewUser};
pub(super) use self::operations::{
    FindAccount, FindOverdue, HasUsers, Import, Operation, ReadLedger, Refund, Reserve,
    ReturnOverdue, SetCredit, Settle,
};
use super::clock::Clock;
use super::database::Database;

/// Either database.
#[derive(Debug)]
pub(super) enum Store {
    Sqlite(sqlite::Engine),
    Postgres(postgres::Engine),
}

impl Store {
    /// Connects, and brings the schema up to date.
    pub(super) async fn open(database: &Database, clock: Clock) -> Result<Self> {
        Ok(match database {
            Database::Sqlite(options) => {
                Self::Sqlite(sqlite::Engine::open(database, options, clock).await?)
            }
            Database::Postgres(options) => {
                Self::Postgres(postgres::Engine::open(database, options, clock).await?)
            }
        })
    }

    /// Does something that may change the ledger, in a transaction of its own.
    ///
    /// # Errors
    ///
    /// `unavailable` and `resource_exhausted`, mostly with a time to come back, where the database is locked, full or
    /// away. Nothing has been done then, except where the connection broke in the moment of the commit.
    ///
    /// # Cancellation
    ///
    /// What has begun is finished, and logged.
    pub(super) async fn write<O: Operation>(&self, operation: O) -> Result<O::Output> {
        match self {
            Self::Sqlite(engine) => engine.write(operation).await,
            Self::Postgres(engine) => engine.write(operation).await,
        }
    }

    /// Does something that changes nothing, outside of any transaction. Works also where writing does not.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub(super) async fn read<O: Operation>(&self, operation: O) -> Result<O::Output> {
        match self {
            Self::Sqlite(engine) => engine.read(operation).await,
            Self::Postgres(engine) => engine.read(operation).await,
        }
    }
}
