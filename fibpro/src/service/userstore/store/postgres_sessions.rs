//! Sessions of PostgreSQL: their limits, and the pools.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgPool, Postgres};

use super::error::StoreError;

/// Limits of a session. A store that is stopped, or whose host is gone, loses its transactions and
/// their locks. A statement that waits for the lock of another session fails soon, so that its
/// caller has the error within some 2 s, retries included.
pub(super) const LIMITS: [(&str, &str); 3] = [
    ("lock_timeout", "500ms"),
    ("statement_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "5s"),
];

/// The server ends a session whose host is gone after about a minute.
pub(super) const KEEPALIVE: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "60000"),
];

/// Timeout of an operation for opening a session.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// Idle time after which a session is tested before use.
const MAX_IDLE: Duration = Duration::from_secs(1);

/// A pool of sessions. After the first session that cannot be used any more, all that are as old
/// are closed, also those of the pools that share the epoch: a failover or a restart concerns all
/// of them.
#[derive(Debug, Clone)]
pub(super) struct Sessions {
    pool: PgPool,
    epoch: Epoch,
}

/// The time before which sessions are not used any more.
#[derive(Debug, Clone, Default)]
pub(super) struct Epoch(Arc<Mutex<Option<Instant>>>);

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

impl Sessions {
    /// Creates a pool of at most `count` sessions, which are opened when they are needed.
    pub(super) fn new(options: PgConnectOptions, count: usize, epoch: &Epoch) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let current = epoch.clone();
        let pool = PoolOptions::<Postgres>::new()
            .max_connections(count)
            .acquire_timeout(OPEN_TIMEOUT)
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
        Self {
            pool,
            epoch: epoch.clone(),
        }
    }

    pub(super) async fn session(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        self.pool.acquire().await.map_err(StoreError::Session)
    }

    /// Returns a session to the pool, or closes it and all older ones if it cannot be used again.
    pub(super) async fn give_back(
        &self,
        session: PoolConnection<Postgres>,
        error: Option<&StoreError>,
    ) {
        if error.is_some_and(StoreError::ends_session) {
            self.epoch.begin();
            // The server closes it, or has closed it already.
            let _ = session.close().await;
        }
    }

    /// Waits for the sessions that are in use, and closes all.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}
