//! PostgreSQL that becomes read-only, or restarts, while the store runs.

use std::time::Duration;

use fibpro::api::userstore::UserStoreClient;
use fibpro::service::userstore::{Argon2Cost, Database, Settings, UserList, Users};
use rpc_runtime::Code;

use super::fixture::{audit, execute};
use super::postgres::Cluster;

const ONE_USER: &str = r#"[{"username": "username", "password": "password", "credit": 1000}]"#;

/// Makes all sessions of the store read-only, and those that begin from now on as `new` says.
async fn set_read_only(database: &Database, old: bool, new: bool) {
    // A session takes over the value of a function call within it only, so the server reloads.
    let on = |is_on: bool| if is_on { "on" } else { "off" };
    execute(
        database,
        &format!(
            "ALTER SYSTEM SET default_transaction_read_only = {}",
            on(old)
        ),
    )
    .await;
    execute(database, "SELECT pg_reload_conf()").await;
    let name = "(SELECT quote_ident(current_database()))";
    let alter = format!(
        "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || {name} || ' SET default_transaction_read_only = {}'; END $$",
        on(new)
    );
    // A session that is read-only by default can still be told otherwise.
    execute_writable(database, &alter).await;
}

async fn execute_writable(database: &Database, sql: &str) {
    let Database::Postgres(options) = database else {
        panic!("{database:?}");
    };
    let options = options
        .clone()
        .options([("default_transaction_read_only", "off")]);
    let writable = Database::Postgres(options);
    try_execute(&writable, sql).await.unwrap();
}

async fn open(database: &Database) -> (Users, UserStoreClient) {
    let settings = Settings {
        cost: Argon2Cost::TEST,
        ..Settings::default()
    };
    let list = UserList::parse(ONE_USER).unwrap();
    let users = Users::open_with(database, list, settings).await.unwrap();
    (users.clone(), UserStoreClient::local(users))
}

/// Opens all sessions of the pool.
async fn fill_the_pool(store: &UserStoreClient, name: &str) {
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..32 {
        calls.spawn(
            store
                .reserve("username", 1, &format!("{name}{n}"))
                .no_retry(),
        );
    }
    for outcome in calls.join_all().await {
        outcome.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_only_sessions_are_replaced_by_new_ones() {
    let Some(cluster) = Cluster::start("failover") else {
        return;
    };
    let database = cluster.database("postgres");
    let (users, store) = open(&database).await;
    fill_the_pool(&store, "a").await;
    // The sessions that exist become read-only, and new ones are not.
    set_read_only(&database, true, false).await;
    fill_the_pool(&store, "b").await;
    users.ready().await.unwrap();

    // All sessions are read-only, also new ones.
    set_read_only(&database, true, true).await;
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    execute(&database, terminate).await;
    let error = store
        .reserve("username", 1, "c")
        .no_retry()
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(
        error.message(),
        "the users' database is read-only; nothing was changed"
    );
    let why = users.ready().await.unwrap_err();
    assert!(why.message().contains("is read-only"), "{why}");
    // Reading goes on.
    assert_eq!(
        store.get_user("username").await.unwrap().unwrap().credit,
        936
    );

    // And back, without a restart of the store.
    set_read_only(&database, false, false).await;
    store.reserve("username", 1, "c").no_retry().await.unwrap();
    users.ready().await.unwrap();
    users.close().await.unwrap();
    audit(&database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_is_found_again() {
    let Some(cluster) = Cluster::start("restart") else {
        return;
    };
    let database = cluster.database("postgres");
    let (users, store) = open(&database).await;
    for (round, signal) in ["INT", "QUIT", "INT"].into_iter().enumerate() {
        fill_the_pool(&store, &format!("{round}a")).await;
        cluster.restart(signal);
        // Each purchase is made in the end, and once.
        for n in 0..8 {
            let key = format!("{round}b{n}");
            let mut failures = 0;
            while let Err(error) = store
                .reserve("username", 1, &key)
                .timeout(Duration::from_secs(20))
                .await
            {
                assert_eq!(error.code(), Code::Unavailable, "{error}");
                failures += 1;
                assert!(failures < 100, "{error}");
            }
        }
        users.ready().await.unwrap();
        fill_the_pool(&store, &format!("{round}c")).await;
    }
    let credit = store.get_user("username").await.unwrap().unwrap().credit;
    assert_eq!(credit, 1000 - 3 * (32 + 8 + 32));
    users.close().await.unwrap();
    audit(&database).await;
}

async fn try_execute(database: &Database, sql: &str) -> Result<(), String> {
    use sqlx::{ConnectOptions as _, Connection as _};

    let Database::Postgres(options) = database else {
        panic!("{database:?}");
    };
    let mut connection = options.connect().await.unwrap();
    let outcome = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(&mut connection)
        .await;
    connection.close().await.unwrap();
    outcome.map(drop).map_err(|error| error.to_string())
}

/// Ends the sessions of the store, except that of the caller.
const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
     WHERE datname IN ('fib', 'moved') AND pid <> pg_backend_pid()";

/// Name, the way there and back, and the reason that callers get.
type State = (&'static str, &'static str, &'static str, &'static str);

/// States in which no session begins.
const CLOSED: [State; 4] = [
    (
        "no connections",
        "ALTER DATABASE fib ALLOW_CONNECTIONS false",
        "ALTER DATABASE fib ALLOW_CONNECTIONS true",
        "the users' database is not open for sessions",
    ),
    (
        "no login",
        "ALTER ROLE app NOLOGIN",
        "ALTER ROLE app LOGIN",
        "the users' database refuses the login of the user store",
    ),
    (
        "renamed",
        "ALTER DATABASE fib RENAME TO moved",
        "ALTER DATABASE moved RENAME TO fib",
        "the users' database is not on its server",
    ),
    (
        "no right to connect",
        "REVOKE CONNECT ON DATABASE fib FROM PUBLIC",
        "GRANT CONNECT ON DATABASE fib TO PUBLIC",
        "the users' database denies access to the role of the user store",
    ),
];

/// States of open sessions.
const DENIED: [State; 2] = [
    (
        "no right to read",
        "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM app",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO app",
        "the users' database denies access to the role of the user store",
    ),
    (
        "a table that is away",
        "ALTER TABLE users RENAME TO away",
        "ALTER TABLE away RENAME TO users",
        "tables of the users' database are missing or changed",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_sessions_and_rights_pass() {
    let Some(cluster) = Cluster::start("states") else {
        return;
    };
    let admin = cluster.database("postgres");
    execute(&admin, "CREATE DATABASE fib").await;
    let inside = cluster.database("fib");
    let (users, _) = open(&inside).await;
    users.close().await.unwrap();
    execute(&admin, "CREATE ROLE app LOGIN PASSWORD 'right'").await;
    for grant in [
        "GRANT ALL ON SCHEMA public TO app",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO app",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app",
    ] {
        execute(&inside, grant).await;
    }
    let (users, store) = open(&cluster.database_as("app", "fib")).await;
    fill_the_pool(&store, "a").await;
    for (number, (name, on, off, reason)) in CLOSED.into_iter().enumerate() {
        execute(&admin, TERMINATE).await;
        // A session of the store may begin between the two.
        while let Err(error) = try_execute(&admin, on).await {
            assert!(error.contains("is being accessed"), "{name}: {error}");
            execute(&admin, TERMINATE).await;
        }
        execute(&admin, TERMINATE).await;
        expect_unavailable(&users, &store, name, reason).await;
        execute(&admin, off).await;
        expect_available(&users, &store, &format!("after{number}")).await;
    }
    for (number, (name, on, off, reason)) in DENIED.into_iter().enumerate() {
        execute(&inside, on).await;
        expect_unavailable(&users, &store, name, reason).await;
        execute(&inside, off).await;
        expect_available(&users, &store, &format!("again{number}")).await;
    }
    users.close().await.unwrap();
    audit(&inside).await;
}

async fn expect_available(users: &Users, store: &UserStoreClient, key: &str) {
    store.reserve("username", 1, key).await.unwrap();
    users.ready().await.unwrap();
}

async fn expect_unavailable(users: &Users, store: &UserStoreClient, name: &str, reason: &str) {
    let error = store
        .reserve("username", 1, "refused")
        .no_retry()
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{name}: {error}");
    assert_eq!(error.message(), reason, "{name}");
    assert!(error.as_error().retry_after().is_some(), "{name}");
    let why = users.ready().await.unwrap_err();
    assert_eq!(why.code(), Code::Unavailable, "{name}: {why}");
    assert_eq!(why.message(), reason, "{name}");
}
