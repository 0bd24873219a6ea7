//! A temporary database, a manual clock, and the audit that follows each test.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use fibpro::api::userstore::UserStoreClient;
use fibpro::service::userstore::{Argon2Cost, Clock, Database, Settings, UserList, Users};
use jiff::Timestamp;
pub(crate) use rpc_tests::folder::Folder;
use sqlx::{ConnectOptions as _, Connection as _};

/// Returns a runtime for tests that run programs and wait for them.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Returns a name that no other test uses.
fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!(
        "t{}_{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// The database that a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// A database, a clock and the stores that a test opens on them.
pub(crate) struct Fixture {
    pub(crate) database: Database,
    now: Arc<AtomicI64>,
    _folder: Folder,
}

impl Fixture {
    /// Returns `None` where the database is not installed.
    pub(crate) async fn new(engine: Engine) -> Option<Self> {
        let folder = Folder::new();
        Some(Self {
            database: match engine {
                Engine::Sqlite => Database::file(folder.file("users.sqlite")),
                Engine::Postgres => super::postgres::database(&unique()).await?,
            },
            now: Arc::new(AtomicI64::new(1_800_000_000_000_000)),
            _folder: folder,
        })
    }

    /// Moves the clock of all stores of this fixture.
    pub(crate) fn advance(&self, time: Duration) {
        let micros = i64::try_from(time.as_micros()).unwrap();
        self.now.fetch_add(micros, Ordering::Relaxed);
    }

    /// Sets the clock of all stores of this fixture back.
    pub(crate) fn rewind(&self, time: Duration) {
        let micros = i64::try_from(time.as_micros()).unwrap();
        self.now.fetch_sub(micros, Ordering::Relaxed);
    }

    /// Opens a store. If its database has no users, adds `username`/`password` with this credit.
    pub(crate) async fn open(&self, credit: u64) -> (Users, UserStoreClient) {
        let list =
            format!(r#"[{{"username": "username", "password": "password", "credit": {credit}}}]"#);
        self.open_list(&list).await
    }

    pub(crate) async fn open_list(&self, list: &str) -> (Users, UserStoreClient) {
        self.open_on(&self.database, list).await
    }

    /// Returns the settings of all stores of this fixture.
    pub(crate) fn settings(&self) -> Settings {
        let now = Arc::clone(&self.now);
        Settings {
            clock: Clock::new(move || {
                Timestamp::from_microsecond(now.load(Ordering::Relaxed)).unwrap()
            }),
            cost: Argon2Cost::TEST,
            ..Settings::default()
        }
    }

    pub(crate) async fn open_on(
        &self,
        database: &Database,
        list: &str,
    ) -> (Users, UserStoreClient) {
        self.open_with(database, list, self.settings()).await
    }

    pub(crate) async fn open_with(
        &self,
        database: &Database,
        list: &str,
        settings: Settings,
    ) -> (Users, UserStoreClient) {
        let list = UserList::parse(list).unwrap();
        let users = Users::open_with(database, list, settings).await.unwrap();
        (users.clone(), UserStoreClient::local(users))
    }

    /// Checks the invariants that hold at every moment, after any operation and any failure.
    pub(crate) async fn audit(&self) {
        audit(&self.database).await;
    }
}

pub(crate) async fn audit(database: &Database) {
    for (rule, exceptions) in [
        (
            "the sum of a user's changes is the user's credit",
            "SELECT COUNT(*) FROM users WHERE credit <> (SELECT COALESCE(SUM(change), 0) FROM ledger \
             WHERE ledger.username = users.username)",
        ),
        (
            "each entry has the sum of the changes up to it",
            "SELECT COUNT(*) FROM ledger a WHERE credit <> (SELECT SUM(change) FROM ledger b \
             WHERE b.username = a.username AND b.id <= a.id)",
        ),
        (
            "no user has negative credit",
            "SELECT COUNT(*) FROM users WHERE credit < 0",
        ),
        (
            "a purchase takes its amount once",
            "SELECT COUNT(*) FROM purchases p WHERE 1 <> (SELECT COUNT(*) FROM ledger l WHERE l.key = p.key \
             AND l.reason = 'reserve' AND l.change = -p.amount AND l.username = p.username)",
        ),
        (
            "a purchase is given back once if it was refunded or has expired, and else never",
            "SELECT COUNT(*) FROM purchases p WHERE CASE WHEN state IN ('refunded', 'expired') THEN 1 ELSE 0 END <> \
             (SELECT COUNT(*) FROM ledger l WHERE l.key = p.key AND l.reason IN ('refund', 'expire') \
             AND l.change = p.amount AND l.username = p.username)",
        ),
        (
            "the ledger names no purchase that is not there, and nothing else",
            "SELECT COUNT(*) FROM ledger l WHERE CASE WHEN reason IN ('opening', 'set') THEN 1 ELSE 0 END <> \
             CASE WHEN key IS NULL THEN 1 ELSE 0 END",
        ),
    ] {
        assert_eq!(count(database, exceptions).await, 0, "{rule}");
    }
}

/// Runs a query on either database, on a separate connection.
macro_rules! connected {
    ($database:expr, $connection:ident => $query:expr) => {
        match $database {
            Database::Sqlite(options) => {
                let patient = options.clone().busy_timeout(Duration::from_secs(20));
                let mut $connection = patient.connect().await.unwrap();
                let response = $query.await.unwrap();
                $connection.close().await.unwrap();
                response
            }
            Database::Postgres(options) => {
                let mut $connection = options.connect().await.unwrap();
                let response = $query.await.unwrap();
                $connection.close().await.unwrap();
                response
            }
        }
    };
}

/// Returns the number that a query yields.
pub(crate) async fn count(database: &Database, sql: &str) -> i64 {
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    connected!(database, connection => sqlx::query_scalar(sql).fetch_one(&mut connection))
}

/// Runs a statement on a separate connection, past the store.
pub(crate) async fn execute(database: &Database, sql: &str) {
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    connected!(database, connection => async { sqlx::query(sql).execute(&mut connection).await.map(drop) });
}

/// Returns a list of so many users `u0`, `u1`, … with credit 1000.
pub(crate) fn list_of(count: usize) -> String {
    let users: Vec<_> = (0..count)
        .map(|n| format!(r#"{{"username": "u{n}", "password": "p", "credit": 1000}}"#))
        .collect();
    format!("[{}]", users.join(","))
}

/// Defines a test for each database, followed by an audit.
macro_rules! on_both {
    ($($(#[$doc:meta])* async fn $name:ident($fixture:ident) $body:block)*) => {$(
        $(#[$doc])*
        mod $name {
            use super::*;

            async fn test($fixture: &Fixture) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let fixture = Fixture::new(Engine::Sqlite).await.unwrap();
                test(&fixture).await;
                fixture.audit().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(fixture) = Fixture::new(Engine::Postgres).await {
                    test(&fixture).await;
                    fixture.audit().await;
                }
            }
        }
    )*};
}
pub(crate) use on_both;
