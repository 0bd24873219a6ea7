//! Changes that wait: for locks, for a synchronous standby, for a stopped store, for each other.

use std::thread::JoinHandle;
use std::time::Duration;

use fibpro::api::userstore::{PurchaseState, UserStoreClient, UserStoreError};
use fibpro::service::userstore::{Clock, Database, Settings};
use rpc_runtime::Code;
use rpc_tests::wait::{until, within};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, SqliteConnection};
use tokio::task::JoinSet;

use super::fixture::{Engine, Fixture, count, execute, list_of, on_both};
use super::postgres::Cluster;
use super::program::{Program, userstore};
use crate::process::{HttpResponse, signal_id};

const LOCKED_USER: &str =
    "changes of this user wait for a lock in the users' database; nothing was changed";

const LOCKED: &str = "the users' database is locked by another process; nothing was changed";

const STALLED: &str = "the users' database confirms no changes: a lock, its disk or a standby keeps them waiting; nothing was \
     changed";

/// Sessions that wait for a lock.
const WAITING: &str = "SELECT COUNT(*) FROM pg_stat_activity \
     WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// A transaction past the store that keeps changes waiting.
pub(super) enum Blocker {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Blocker {
    /// Locks the users for changes; they can still be read.
    async fn of_all(database: &Database) -> Self {
        match database {
            Database::Sqlite(options) => {
                let mut connection = options.connect().await.unwrap();
                run(&mut connection, "BEGIN IMMEDIATE").await;
                Self::Sqlite(connection)
            }
            Database::Postgres(_) => Self::of(database, "LOCK TABLE users IN SHARE MODE").await,
        }
    }

    /// Begins a transaction of PostgreSQL with a statement.
    pub(super) async fn of(database: &Database, sql: &'static str) -> Self {
        let Database::Postgres(options) = database else {
            panic!("{database:?}");
        };
        let mut connection = options.connect().await.unwrap();
        for sql in ["BEGIN", sql] {
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        }
        Self::Postgres(connection)
    }

    async fn statement(&mut self, sql: &'static str) {
        match self {
            Self::Sqlite(connection) => run(connection, sql).await,
            Self::Postgres(connection) => {
                sqlx::query(sql).execute(connection).await.unwrap();
            }
        }
    }

    pub(super) async fn end(mut self, sql: &'static str) {
        self.statement(sql).await;
        match self {
            Self::Sqlite(connection) => connection.close().await.unwrap(),
            Self::Postgres(connection) => connection.close().await.unwrap(),
        }
    }
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) {
    sqlx::query(sql).execute(connection).await.unwrap();
}

async fn postgres() -> Option<Fixture> {
    Fixture::new(Engine::Postgres).await
}

/// Begins purchases of one credit, one of each of these users in turn.
fn begin(
    store: &UserStoreClient,
    users: usize,
    count: usize,
    name: &str,
) -> JoinSet<Option<String>> {
    let mut calls = JoinSet::new();
    for n in 0..count {
        let (user, key) = (format!("u{}", n % users), format!("{name}{n}"));
        let call = store.reserve(&user, 1, &key).no_retry();
        calls.spawn(async move {
            let error = call.await.err()?;
            assert!(error.as_error().retry_after().is_some(), "{error}");
            Some(error.message().to_owned())
        });
    }
    calls
}

on_both! {
    async fn changes_whose_callers_left_are_not_begun(fixture) {
        // One user, some users, and a user each.
        for (round, users) in [1, 7, 300].into_iter().enumerate() {
            let (users_of, store) = fixture.open_list(&list_of(300)).await;
            let blocker = Blocker::of_all(&fixture.database).await;
            let mut calls = begin(&store, users, 300, &format!("{round}/"));
            // SQLite has no view of its waiting statements: a change that is refused has waited.
            match fixture.database {
                Database::Sqlite(_) => drop(within(calls.join_next()).await),
                Database::Postgres(_) => {
                    until(async || count(&fixture.database, WAITING).await > 0).await;
                }
            }
            // All callers leave.
            calls.shutdown().await;
            blocker.end("ROLLBACK").await;
            users_of.close().await.unwrap();
            let begun = count(
                &fixture.database,
                &format!("SELECT COUNT(*) FROM purchases WHERE key LIKE '{round}/%'"),
            ).await;
            let most = match fixture.database {
                Database::Sqlite(_) => 0,
                // Those that had a session.
                Database::Postgres(_) => 16,
            };
            assert!(begun <= most, "{begun} of 300 for {users} users");
        }
    }

    async fn a_user_with_many_waiting_changes_is_refused(fixture) {
        let (_users, store) = fixture.open_list(&list_of(4)).await;
        let blocker = Blocker::of_all(&fixture.database).await;
        let calls = begin(&store, 1, 800, "k");
        let errors: Vec<_> = within(calls.join_all()).await.into_iter().flatten().collect();
        blocker.end("ROLLBACK").await;
        let refused = "too many changes of this user are queued; retry later";
        let refused = errors.iter().filter(|text| *text == refused).count();
        // All of them, unless some were refused by the database before others came.
        assert!((100..=800 - 512).contains(&refused), "{refused}");
        // And not later.
        assert_eq!(begin(&store, 1, 100, "l").join_all().await, vec![None; 100]);
    }

    async fn entries_have_times_in_their_order(fixture) {
        let (_users, store) = fixture.open_list(&list_of(1)).await;
        let mut blocker = Blocker::of_all(&fixture.database).await;
        let waiting = tokio::spawn(store.reserve("u0", 1, "k"));
        if let Database::Postgres(_) = fixture.database {
            until(async || count(&fixture.database, WAITING).await > 0).await;
        }
        // Another store, later, that has the lock earlier.
        fixture.advance(Duration::from_secs(2));
        blocker.statement(
            "INSERT INTO ledger (time, username, change, credit, reason) VALUES (1800000002000000, 'u0', 0, 1000, 'set')",
        ).await;
        blocker.end("COMMIT").await;
        waiting.await.unwrap().unwrap();
        let times = "SELECT COUNT(*) FROM ledger a JOIN ledger b ON a.username = b.username AND a.id < b.id \
             WHERE a.time > b.time";
        assert_eq!(count(&fixture.database, times).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_locked_row_keeps_only_its_user_waiting() {
    let Some(fixture) = postgres().await else {
        return;
    };
    let (users, store) = fixture.open_list(&list_of(40)).await;
    for n in 0..100 {
        let key = format!("old{n}");
        store.reserve("u0", 1, &key).await.unwrap();
    }
    let lock = "UPDATE users SET credit = credit WHERE username = 'u0'";
    let blocker = Blocker::of(&fixture.database, lock).await;
    // Its purchases, refunds and settings of its credit.
    let mut locked = begin(&store, 1, 100, "k");
    for n in 0..100 {
        let refund = store.refund(&format!("old{n}")).no_retry();
        locked.spawn(async move { refund.await.err().map(|error| error.message().to_owned()) });
    }
    let setting = store.set_credit("u0", 5).no_retry();
    locked.spawn(async move { setting.await.err().map(|error| error.message().to_owned()) });
    until(async || count(&fixture.database, WAITING).await > 0).await;
    // Others buy, and the store is ready.
    for n in 1..40 {
        let (user, key) = (format!("u{n}"), format!("other{n}"));
        store.reserve(&user, 1, &key).no_retry().await.unwrap();
        store.settle(&key).no_retry().await.unwrap();
        store.refund(&key).no_retry().await.unwrap_err();
    }
    users.ready().await.unwrap();
    for outcome in within(locked.join_all()).await {
        let error = outcome.expect("the row is locked");
        let queued = "too many changes of this user are queued; retry later";
        assert!([LOCKED, LOCKED_USER, queued].contains(&&*error), "{error}");
    }
    blocker.end("ROLLBACK").await;
    store.set_credit("u0", 5).no_retry().await.unwrap();
    fixture.audit().await;
}

/// Settling them returns their credit, for which it waits as a change of their user does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settles_of_expired_purchases_wait_with_a_user() {
    let Some(fixture) = postgres().await else {
        return;
    };
    let (_users, store) = fixture.open_list(&list_of(40)).await;
    for n in 0..100 {
        store.reserve("u0", 1, &format!("old{n}")).await.unwrap();
    }
    fixture.advance(Duration::from_secs(31));
    let lock = "UPDATE users SET credit = credit WHERE username = 'u0'";
    let blocker = Blocker::of(&fixture.database, lock).await;
    let mut locked = JoinSet::new();
    for n in 0..100 {
        let settle = store.settle(&format!("old{n}")).no_retry();
        locked.spawn(async move { settle.await.map(drop).unwrap_err().message().to_owned() });
    }
    until(async || count(&fixture.database, WAITING).await > 2).await;
    for n in 1..40 {
        let (user, key) = (format!("u{n}"), format!("other{n}"));
        store.reserve(&user, 1, &key).no_retry().await.unwrap();
        store.settle(&key).no_retry().await.unwrap();
    }
    for error in within(locked.join_all()).await {
        assert!([LOCKED, LOCKED_USER].contains(&&*error), "{error}");
    }
    blocker.end("ROLLBACK").await;
    let ended = store.settle("old7").await.unwrap_err();
    let has_expired = matches!(
        &*ended,
        UserStoreError::PurchaseEnded {
            state: PurchaseState::Expired,
            ..
        }
    );
    assert!(has_expired, "{ended}");
    assert_eq!(store.get_user("u0").await.unwrap().unwrap().credit, 1000);
    fixture.audit().await;
}

/// A server whose commits wait for a standby that does not exist.
pub(super) struct MissingStandby {
    /// A commit of this test that waits.
    first: tokio::task::JoinHandle<()>,
}

impl MissingStandby {
    /// Begins to wait for a standby. Returns when commits wait: the server takes over a changed
    /// setting some time later.
    pub(super) async fn of(database: &Database) -> Self {
        execute(
            database,
            "ALTER SYSTEM SET synchronous_standby_names = 'missing'",
        )
        .await;
        execute(database, "SELECT pg_reload_conf()").await;
        loop {
            let own = database.clone();
            let first =
                tokio::spawn(async move { execute(&own, "CREATE TEMP TABLE standby ()").await });
            until(async || first.is_finished() || count(database, STUCK).await > 0).await;
            if !first.is_finished() {
                return Self { first };
            }
        }
    }

    /// Returns the number of commits of others that wait.
    pub(super) async fn waiting(&self, database: &Database) -> i64 {
        count(database, STUCK).await - 1
    }

    /// Lets all commits go on.
    pub(super) async fn end(self, database: &Database) {
        execute(database, "ALTER SYSTEM RESET synchronous_standby_names").await;
        execute(database, "SELECT pg_reload_conf()").await;
        self.first.await.unwrap();
    }
}

const STUCK: &str = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_standby_leaves_reading_alone() {
    let Some(cluster) = Cluster::start("standby") else {
        return;
    };
    let fixture = Fixture::new(Engine::Sqlite).await.unwrap();
    let database = cluster.database("postgres");
    let (users, store) = fixture.open_on(&database, &list_of(64)).await;
    let standby = MissingStandby::of(&database).await;
    let mut calls = begin(&store, 64, 64, "k");
    until(async || standby.waiting(&database).await == 16).await;
    // The others are told soon, and so are new ones.
    for _ in 16..64 {
        let error = within(calls.join_next()).await.unwrap().unwrap();
        assert_eq!(error.as_deref(), Some(STALLED));
    }
    let error = store.reserve("u0", 1, "l").no_retry().await.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::Unavailable, STALLED)
    );
    // Nothing else waits for them.
    for n in 0..64 {
        let user = format!("u{n}");
        store.get_user(&user).no_retry().await.unwrap();
        store.ledger(&user, 10).no_retry().await.unwrap();
    }
    assert_eq!(users.ready().await.unwrap_err().message(), STALLED);
    standby.end(&database).await;
    // What was begun is done.
    assert_eq!(within(calls.join_all()).await, vec![None; 16]);
    store.reserve("u0", 1, "l").no_retry().await.unwrap();
    users.ready().await.unwrap();
    users.close().await.unwrap();
    super::fixture::audit(&database).await;
}

/// A store that is stopped in a transaction has the row of a user locked, until the server ends its
/// session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_store_locks_a_user_for_seconds() {
    let Some(fixture) = postgres().await else {
        return;
    };
    let Database::Postgres(options) = &fixture.database else {
        panic!("{:?}", fixture.database);
    };
    // The program has no other clock.
    let settings = Settings {
        clock: Clock::system(),
        ..fixture.settings()
    };
    let (_users, store) = fixture
        .open_with(&fixture.database, &list_of(2), settings)
        .await;
    let folder = options.get_socket().unwrap().display();
    let url = format!(
        "postgres://postgres@localhost/{}?host={folder}",
        options.get_database().unwrap()
    );
    let program = Program::start(userstore(&["--database", &url]));
    let call = stop_in_a_transaction(&fixture.database, &program).await;
    // Another user is not affected, and this one only for some seconds.
    store.reserve("u1", 1, "other").no_retry().await.unwrap();
    let mut failures = 0;
    while let Err(error) = store.reserve("u0", 1, "mine").no_retry().await {
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        failures += 1;
        assert!(failures < 60, "{error}");
    }
    signal_id("-CONT", program.id());
    // It repeats its change in a new session.
    assert_eq!(call.join().unwrap().status, 200);
    assert_eq!(store.get_user("u0").await.unwrap().unwrap().credit, 998);
    assert_eq!(program.stop().code, Some(0));
    fixture.audit().await;
}

/// Stops a store after it has locked the row of `u0`. Returns its call.
async fn stop_in_a_transaction(database: &Database, program: &Program) -> JoinHandle<HttpResponse> {
    const STATE: &str =
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND state = ";
    let lock = "UPDATE users SET credit = credit WHERE username = 'u0'";
    loop {
        let blocker = Blocker::of(database, lock).await;
        let address = program.address.clone();
        let call = std::thread::spawn(move || {
            let body = r#"{"username": "u0", "amount": 1, "key": "stopped"}"#;
            Program::call_at(&address, "Reserve", body)
        });
        until(async || count(database, WAITING).await > 0).await;
        signal_id("-STOP", program.id());
        blocker.end("ROLLBACK").await;
        let states = ["idle in transaction", "idle in transaction (aborted)"];
        let [idle, aborted] = states.map(|state| format!("{STATE}'{state}'"));
        let mut is_idle = false;
        until(async || {
            is_idle = count(database, &idle).await > 0;
            is_idle || count(database, &aborted).await > 0
        })
        .await;
        if is_idle {
            return call;
        }
        // The wait for the lock ended before the lock was released.
        signal_id("-CONT", program.id());
        call.join().unwrap();
    }
}
