//! Opens a database on a PostgreSQL server: refuses poolers that a store cannot use, and applies
//! migrations.

use rpc_runtime::{Code, Error, Result};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use super::super::database::Database;
use super::error;
use super::postgres_sessions::{KEEPALIVE, LIMITS};
use super::session::{ColumnReader as _, SqlSession as _};

/// Number of the lock that a store holds from before the migrations until the users are added.
const START_LOCK: i64 = 0x6669_6270_726f;

/// A migration may take long, and so may another store that holds the lock.
const UNLIMITED: [(&str, &str); 2] = [("lock_timeout", "0"), ("statement_timeout", "0")];

/// A session that holds the start lock. The server releases the lock with the session.
#[derive(Debug)]
pub(crate) struct StartSession(PgConnection);

impl StartSession {
    /// Releases the lock.
    pub(super) async fn close(self) {
        // If closing fails, the server closes it.
        let _ = self.0.close().await;
    }
}

/// Checks the way to the server and applies migrations. Returns the options of the store's
/// sessions, and a session that holds the start lock.
pub(super) async fn prepare(
    database: &Database,
    options: &PgConnectOptions,
) -> Result<(PgConnectOptions, StartSession)> {
    let plain = options
        .clone()
        // Only integers and texts are read; poolers do not know this setting.
        .extra_float_digits(None)
        .disable_statement_logging();
    let limited = plain.clone().options(KEEPALIVE).options(LIMITS);
    let mut first = connect(database, &limited).await?;
    let unlimited = plain.options(KEEPALIVE).options(UNLIMITED);
    let mut second = connect(database, &unlimited).await?;
    let checked = check_way(&mut first, &mut second).await;
    // If closing fails, the server closes it.
    let _ = first.close().await;
    match checked {
        Ok(true) => {}
        Ok(false) => return Err(pooled(database)),
        Err(error) if is_of_shared_session(&error) => {
            return Err(pooled(database).with_source(error));
        }
        Err(error) => return Err(error::cannot_open(database, error)),
    }
    second
        .rows("SELECT 1 FROM pg_advisory_lock($1)", &[START_LOCK.into()])
        .await
        .map_err(|error| error::cannot_open(database, error))?;
    sqlx::migrate!("migrations/postgres")
        .run(&mut second)
        .await
        .map_err(|error| error::cannot_migrate(database, error))?;
    Ok((limited, StartSession(second)))
}

async fn connect(database: &Database, options: &PgConnectOptions) -> Result<PgConnection> {
    options.connect().await.map_err(|error| {
        // PgBouncer: "unsupported startup parameter".
        let is_pooler = error
            .as_database_error()
            .is_some_and(|error| error.message().contains("startup parameter"));
        match is_pooler {
            true => pooled(database).with_source(error),
            false => error::cannot_open(database, error),
        }
    })
}

/// Returns whether these are two sessions of the server, with the settings that were requested. A
/// pooler may ignore the settings, or give one session of the server to several clients: then the
/// settings and the prepared statements of one client are those of another.
async fn check_way(first: &mut PgConnection, second: &mut PgConnection) -> sqlx::Result<bool> {
    const SETTING: &str = "SELECT current_setting('idle_in_transaction_session_timeout')";
    const ID: &str = "SELECT CAST(pg_backend_pid() AS BIGINT)";
    let setting = first.rows(SETTING, &[]).await?;
    let expected = LIMITS.iter().find(|(name, _)| SETTING.contains(name));
    let setting = setting.first().map(|row| row.text(0)).transpose()?;
    if setting.as_deref() != expected.map(|(_, value)| *value) {
        return Ok(false);
    }
    // A pooler of transactions has released the session of the first client, and uses the one that
    // was used last.
    let mut ids = Vec::new();
    for session in [first, second] {
        let rows = session.rows(ID, &[]).await?;
        ids.push(rows.first().map(|row| row.int(0)).transpose()?);
    }
    Ok(ids[0] != ids[1])
}

/// Returns whether a prepared statement was made, or removed, by another client of the session.
fn is_of_shared_session(error: &sqlx::Error) -> bool {
    let state = error.as_database_error().and_then(DatabaseError::code);
    matches!(state.as_deref(), Some("42P05" | "26000"))
}

#[track_caller]
fn pooled(database: &Database) -> Error {
    Error::new(
        Code::FailedPrecondition,
        format!(
            "cannot open the users' database: {database}: a connection pooler, such as PgBouncer, does not pass on the \
             settings of a session or shares sessions; name the PostgreSQL server itself: the user store has a pool"
        ),
    )
}
