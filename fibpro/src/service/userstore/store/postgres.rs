//! PostgreSQL: a pool of connections, one transaction per operation.

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

/// Maximum number of connections. More would only wait for the same disk.
const CONNECTIONS: u32 = 16;

/// Timeout of an operation for a free connection.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Idle time after which a connection is tested before use.
const MAX_IDLE: Duration = Duration::from_secs(1);

/// Maximum attempts after conflicts and broken connections. One more than there are connections,
/// all of which may be broken.
const ATTEMPTS: u32 = CONNECTIONS + 1;

/// Database on a PostgreSQL server.
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
        // Connects directly first, because a pool does not report why it cannot connect.
        let mut connection = options
            .connect()
            .await
            .map_err(|error| error::cannot_open(database, error))?;
        sqlx::migrate!("migrations/postgres")
            .run(&mut connection)
            .await
            .map_err(|error| error::cannot_migrate(database, error))?;
        // If closing fails, the server closes it.
        let _ = connection.close().await;
        let pool = PoolOptions::<Postgres>::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(TIMEOUT)
            // A test before each use would add a round trip to each transaction.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > MAX_IDLE {
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
                Err(error) if attempt < ATTEMPTS && error.is_transient() => attempt += 1,
                outcome => return outcome.map_err(StoreError::into_error),
            }
        }
    }

    pub(super) async fn write<O: Operation>(&self, operation: O) -> Result<O::Output> {
        let (pool, clock) = (self.pool.clone(), self.clock.clone());
        // A spawned task, so that a canceled call cannot interrupt a commit or lose its log lines.
        let work = rpc_runtime::spawn(async move {
            let mut attempt = 1;
            loop {
                match transaction(&pool, &clock, &operation).await {
                    // All operations are idempotent, so also one whose commit got no response can
                    // be repeated.
                    Err(error) if attempt < ATTEMPTS && error.is_transient() => attempt += 1,
                    outcome => return outcome.map_err(StoreError::into_error),
                }
            }
        });
        work.await.map_err(|error| {
            let text = "the task that writes to the users' database failed";
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
    // Rolled back on drop.
    let mut transaction = pool.begin().await?;
    let mut ledger = Ledger::open(&mut *transaction, clock.now());
    let response = operation.run(&mut ledger).await?;
    let events = ledger.events;
    transaction.commit().await?;
    events.iter().for_each(AuditEvent::log);
    Ok(response)
}
