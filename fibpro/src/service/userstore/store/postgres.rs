//! PostgreSQL: a pool of connections, a transaction an operation.

use std::time::Duration;

use rpc_runtime::{Code, Error, Result};
use sqlx::pool::PoolOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgPool, Postgres};

use super::super::clock::Clock;
use super::super::database::Database;
use super::audit::AuditEvent;
use super::error::{self, StoreError};
use super::ledger::Ledger;
use super::operations::Operation;

/// Transactions at one time. More of them would only wait for the same disk.
const CONNECTIONS: u32 = 16;

/// How long an operation waits for a connection, and for the database to be there.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that was idle for longer is asked whether it still is one.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// How often an operation is done that others are faster than, or whose connection breaks: more often than there are
/// connections, since all of them may be broken.
const ATTEMPTS: u32 = CONNECTIONS + 1;

/// The database on a server.
#[derive(Debug)]
pub(crate) struct Engine {
    pool: PgPool,
    clock: Clock,
}

impl Engine {
    pub(super) async fn open(
        database: &Database,
        options: &PgConnectOptions,
        clock: Clock,
    ) -> Result<Self> {
        let options = options
            .clone()
            .options([("lock_timeout", "2s"), ("statement_timeout", "10s")])
            .disable_statement_logging();
        // At once and by itself, because a pool does not say why it has no connection.
        let mut connection = options
            .connect()
            .await
            .map_err(|error| error::cannot_open(database, error))?;
        sqlx::migrate!("migrations/postgres")
            .run(&mut connection)
            .await
            .map_err(|error| error::cannot_migrate(database, error))?;
        // One that cannot be closed properly is closed by the server.
        let _ = connection.close().await;
        let pool = PoolOptions::<Postgres>::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(TIMEOUT)
            // Asking each time would be one more round trip in each transaction.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > FRESH_FOR {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Ok(Self { pool, clock })
    }

    pub(super) async fn read<O: Operation>(&self, operation: O) -> Result<O::Output> {
        let mut attempt = 1;
        loop {
            match look(&self.pool, &self.clock, &operation).await {
                Err(trouble) if attempt < ATTEMPTS && trouble.is_transient() => attempt += 1,
                outcome => return outcome.map_err(StoreError::into_error),
            }
        }
    }

    pub(super) async fn write<O: Operation>(&self, operation: O) -> Result<O::Output> {
        let (pool, clock) = (self.pool.clone(), self.clock.clone());
        // A task of its own, so that a caller who goes away leaves no doubt about a commit, and takes no log line along.
        let work = rpc_runtime::spawn(async move {
            let mut attempt = 1;
            loop {
                match transaction(&pool, &clock, &operation).await {
                    // Every operation may be repeated, so one whose commit got no answer may be, too.
                    Err(trouble) if attempt < ATTEMPTS && trouble.is_transient() => attempt += 1,
                    outcome => return outcome.map_err(StoreError::into_error),
                }
            }
        });
        work.await.map_err(|error| {
            let text = "the task that writes the users' database has ended";
            Error::new(Code::Internal, text).with_source(error)
        })?
    }
}

async fn look<O: Operation>(
    pool: &PgPool,
    clock: &Clock,
    operation: &O,
) -> Result<O::Output, StoreError> {
    let mut connection = pool.acquire().await?;
    let mut ledger = Ledger::open(&mut *connection, clock.now());
    operation.run(&mut ledger).await
}

async fn transaction<O: Operation>(
    pool: &PgPool,
    clock: &Clock,
    operation: &O,
) -> Result<O::Output, StoreError> {
    // Undone when it is dropped.
    let mut transaction = pool.begin().await?;
    let mut ledger = Ledger::open(&mut *transaction, clock.now());
    let answer = operation.run(&mut ledger).await?;
    let events = ledger.events;
    transaction.commit().await?;
    events.iter().for_each(AuditEvent::log);
    Ok(answer)
}
