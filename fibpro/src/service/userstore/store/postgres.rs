//! PostgreSQL: a pool of connections, a transaction an operation.

use std::sync::Arc;
use std::time::Duration;

use rpc_runtime::Result;
use sqlx::pool::PoolOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgPool, Postgres};

use super::super::clock::Clock;
use super::books::Books;
use super::note::Note;
use super::operations::Operation;
use super::trouble::{self, Trouble};

/// Transactions at one time. More of them would only wait for the same disk.
const CONNECTIONS: u32 = 16;

/// How long an operation waits for a connection, and for the database to be there.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection that was idle for longer is asked whether it still is one.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// How often an operation is done that others are faster than, or whose connection breaks.
const ATTEMPTS: u32 = 5;

/// The database on a server.
#[derive(Debug)]
pub(crate) struct Engine {
    pool: PgPool,
    clock: Clock,
}

impl Engine {
    pub(super) async fn open(options: &PgConnectOptions, clock: Clock) -> Result<Self> {
        let options = options
            .clone()
            .options([("lock_timeout", "2s"), ("statement_timeout", "10s")])
            .disable_statement_logging();
        // At once and by itself, because a pool does not say why it has no connection.
        let mut connection = options.connect().await.map_err(trouble::cannot_open)?;
        sqlx::migrate!("migrations/postgres")
            .run(&mut connection)
            .await
            .map_err(trouble::cannot_migrate)?;
        // One that cannot be closed properly is closed by the server.
        let _ = connection.close().await;
        let pool = PoolOptions::<Postgres>::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
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

    pub(super) async fn read<O: Operation>(&self, operation: O) -> Result<O::Answer> {
        let trouble = |error| Trouble::from(error).into_error();
        let mut connection = self.pool.acquire().await.map_err(trouble)?;
        let mut books = Books::open(&mut *connection, self.clock.now());
        operation.run(&mut books).await.map_err(Trouble::into_error)
    }

    pub(super) async fn write<O: Operation>(&self, operation: O) -> Result<O::Answer> {
        let (pool, clock, operation) = (self.pool.clone(), self.clock.clone(), Arc::new(operation));
        // A task of its own, so that a caller who goes away leaves no doubt about a commit, and takes no log line along.
        let work = rpc_runtime::spawn(async move {
            for _ in 1..ATTEMPTS {
                match transaction(&pool, &clock, operation.as_ref()).await {
                    // Every operation may be repeated, so one whose commit got no answer may be, too.
                    Err(Trouble::Again) => {}
                    Err(Trouble::Database(error)) if trouble::is_of_the_connection(&error) => {}
                    outcome => return outcome,
                }
            }
            transaction(&pool, &clock, operation.as_ref()).await
        });
        let outcome = work.await.map_err(|error| {
            let text = "the task that writes the users' database has ended";
            rpc_runtime::Error::new(rpc_runtime::Code::Internal, text).with_source(error)
        })?;
        outcome.map_err(Trouble::into_error)
    }
}

async fn transaction<O: Operation>(
    pool: &PgPool,
    clock: &Clock,
    operation: &O,
) -> Result<O::Answer, Trouble> {
    // Undone when it is dropped.
    let mut transaction = pool.begin().await?;
    let mut books = Books::open(&mut *transaction, clock.now());
    let answer = operation.run(&mut books).await?;
    let notes = books.notes;
    transaction.commit().await?;
    notes.iter().for_each(Note::log);
    Ok(answer)
}
