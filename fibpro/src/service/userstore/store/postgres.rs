//! PostgreSQL: a pool of connections, one transaction per operation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rpc_runtime::{Code, Error, Result};
use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgPool, Postgres};
use tokio::time::timeout;

use super::super::clock::Clock;
use super::super::database::Database;
use super::audit::AuditEvent;
use super::error::{self, StoreError};
use super::ledger::Ledger;
use super::operations::Operation;
use super::postgres_error;

/// Maximum number of connections. More would only wait for the same disk.
const CONNECTIONS: u32 = 16;

/// Timeout of an operation for a free connection.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of a probe for a free connection, shorter than that of the probe.
const PROBE_TIMEOUT: Duration = Duration::from_millis(800);

/// Timeout for closing all sessions, shorter than that of the process.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(4);

/// Idle time after which a connection is tested before use.
const MAX_IDLE: Duration = Duration::from_secs(1);

/// Maximum attempts after conflicts.
const ATTEMPTS: u32 = 17;

/// Maximum attempts after the end of a session. The second one has a new session.
const SESSIONS: u32 = 3;

/// Database on a PostgreSQL server.
#[derive(Debug)]
pub(crate) struct Engine {
    sessions: Sessions,
    clock: Clock,
}

/// A pool of sessions. After the first session that cannot be used any more, all that are as old
/// are closed: a failover or a restart concerns all of them.
#[derive(Debug, Clone)]
struct Sessions {
    pool: PgPool,
    epoch: Epoch,
}

/// The time before which sessions are not used any more.
#[derive(Debug, Clone, Default)]
struct Epoch(Arc<Mutex<Option<Instant>>>);

impl Epoch {
    fn begin(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    /// Returns whether a session of this age was opened before the last failure.
    fn is_over(&self, age: Duration) -> bool {
        let epoch = *self.0.lock();
        epoch.is_some_and(|epoch| epoch.elapsed() < age)
    }
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
        let epoch = Epoch::default();
        let current = epoch.clone();
        let pool = PoolOptions::<Postgres>::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(TIMEOUT)
            // A test before each use would add a round trip to each transaction.
            .test_before_acquire(false)
            .before_acquire(move |connection, meta| {
                let is_over = current.is_over(meta.age);
                Box::pin(async move {
                    if is_over {
                        return Ok(false);
                    }
                    if meta.idle_for > MAX_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Ok(Self {
            sessions: Sessions { pool, epoch },
            clock,
        })
    }

    pub(super) async fn read<O: Operation>(&self, operation: O) -> Result<O::Output> {
        let mut attempts = Attempts::default();
        loop {
            let outcome = self.sessions.look(&self.clock, &operation).await;
            match outcome {
                Err(error) if attempts.another(&error) => {}
                outcome => return outcome.map_err(StoreError::into_error),
            }
        }
    }

    pub(super) async fn write<O: Operation>(&self, operation: O) -> Result<O::Output> {
        let (sessions, clock) = (self.sessions.clone(), self.clock.clone());
        // A spawned task, so that a canceled call cannot interrupt a commit or lose its log lines.
        let work = rpc_runtime::spawn(async move {
            let mut attempts = Attempts::default();
            loop {
                match sessions.transaction(&clock, &operation).await {
                    // All operations are idempotent, so also one whose commit got no response can
                    // be repeated.
                    Err(error) if attempts.another(&error) => {}
                    outcome => return outcome.map_err(StoreError::into_error),
                }
            }
        });
        work.await.map_err(|error| {
            let text = "internal error: a write to the users' database panicked; whether it was done is not known";
            Error::new(Code::Internal, text).with_source(error)
        })?
    }

    /// Checks that the database can be read and changed. Waits for a session for the time of a
    /// probe only, so that the probe has a reason to report.
    pub(super) async fn ready(&self, read: impl Operation, write: impl Operation) -> Result<()> {
        let session = timeout(PROBE_TIMEOUT, self.sessions.session());
        match session.await {
            Ok(Ok(session)) => drop(session),
            // The attempts below report the error of a session that has ended.
            Ok(Err(error)) if error.is_transient() => {}
            Ok(Err(error)) => return Err(error.into_error()),
            Err(_) => return Err(Error::new(Code::Unavailable, postgres_error::AWAY)),
        }
        self.read(read).await?;
        self.write(write).await?;
        Ok(())
    }

    /// Waits for running operations and closes all sessions. Ends sessions that do not respond.
    pub(super) async fn close(&self) -> Result<()> {
        if timeout(CLOSE_TIMEOUT, self.sessions.pool.close())
            .await
            .is_err()
        {
            tracing::warn!(
                "the server of the users' database does not respond: its sessions are ended without a farewell; \
                 changes that were confirmed are in the database"
            );
        }
        Ok(())
    }
}

/// Counts the attempts of an operation.
#[derive(Default)]
struct Attempts {
    all: u32,
    sessions: u32,
}

impl Attempts {
    /// Returns whether the operation is worth another attempt after this error.
    fn another(&mut self, error: &StoreError) -> bool {
        self.all += 1;
        self.sessions += u32::from(error.ends_session());
        error.is_transient() && self.all < ATTEMPTS && self.sessions < SESSIONS
    }
}

impl Sessions {
    async fn session(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        self.pool.acquire().await.map_err(StoreError::Session)
    }

    async fn look<O: Operation>(
        &self,
        clock: &Clock,
        operation: &O,
    ) -> Result<O::Output, StoreError> {
        let mut session = self.session().await?;
        let mut ledger = Ledger::open(&mut *session, clock.now());
        let outcome = operation.run(&mut ledger).await;
        self.give_back(session, outcome.as_ref().err()).await;
        outcome
    }

    async fn transaction<O: Operation>(
        &self,
        clock: &Clock,
        operation: &O,
    ) -> Result<O::Output, StoreError> {
        let mut session = self.session().await?;
        let outcome = async {
            // Rolled back on drop.
            let mut transaction = session.begin().await?;
            let mut ledger = Ledger::open(&mut *transaction, clock.now());
            let output = operation.run(&mut ledger).await?;
            let events = ledger.events;
            transaction.commit().await?;
            Ok((output, events))
        }
        .await;
        self.give_back(session, outcome.as_ref().err()).await;
        let (output, events) = outcome?;
        events.iter().for_each(AuditEvent::log);
        Ok(output)
    }

    /// Returns a session to the pool, or closes it and all older ones if it cannot be used again.
    async fn give_back(&self, session: PoolConnection<Postgres>, error: Option<&StoreError>) {
        if error.is_some_and(StoreError::ends_session) {
            self.epoch.begin();
            // The server closes it, or has closed it already.
            let _ = session.close().await;
        }
    }
}
