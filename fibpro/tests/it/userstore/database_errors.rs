//! Databases that are full, locked, damaged or temporarily gone.

use fibpro::api::userstore::{PurchaseState, UserStoreClient};
use fibpro::service::userstore::{Database, Settings, UserList, Users};
use rpc_runtime::Code;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::fixture::{Engine, Fixture, execute};

const ONE_USER: &str = r#"[{"username": "username", "password": "password", "credit": 1000000}]"#;

async fn sqlite() -> (Fixture, SqliteConnectOptions) {
    let fixture = Fixture::new(Engine::Sqlite).await.unwrap();
    let Database::Sqlite(options) = fixture.database.clone() else {
        panic!("{:?}", fixture.database);
    };
    (fixture, options)
}

async fn credit(store: &UserStoreClient) -> u64 {
    store.get_user("username").await.unwrap().unwrap().credit
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_leaves_no_partial_write_and_recovers() {
    let (fixture, options) = sqlite().await;
    // A table that can be dropped to free space.
    drop(fixture.open_list(ONE_USER).await);
    execute(&fixture.database, "CREATE TABLE ballast (x BLOB)").await;
    execute(
        &fixture.database,
        "INSERT INTO ballast VALUES (zeroblob(200000))",
    )
    .await;
    let pages = super::fixture::count(&fixture.database, "PRAGMA page_count").await;
    let full = Database::Sqlite(options.pragma("max_page_count", (pages + 3).to_string()));
    let (users, store) = fixture.open_on(&full, ONE_USER).await;

    let mut bought = 0;
    let error = loop {
        match store
            .reserve("username", 1, &format!("{bought}/{}", "k".repeat(200)))
            .no_retry()
            .await
        {
            Ok(_) => bought += 1,
            Err(error) => break error,
        }
        assert!(bought < 10_000, "the disk has no end");
    };
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert_eq!(
        error.message(),
        "the disk of the users' database is full; nothing was changed"
    );
    assert!(error.as_error().retry_after().is_some());
    // Every acknowledged purchase is stored and readable.
    assert_eq!(credit(&store).await, 1_000_000 - bought);
    users.ready().await.unwrap();
    assert_eq!(
        store.ledger("username", 1).await.unwrap()[0].credit,
        1_000_000 - bought
    );
    // Concurrent calls: each has its own result, and none fails because of another one.
    let mut more = tokio::task::JoinSet::new();
    for n in 0..40 {
        let key = if n % 2 == 0 {
            format!("0/{}", "k".repeat(200))
        } else {
            format!("new{n}/{}", "k".repeat(200))
        };
        more.spawn(store.reserve("username", 1, &key).no_retry());
    }
    let outcomes = more.join_all().await;
    // A repetition needs no space.
    assert!(
        outcomes.iter().filter(|outcome| outcome.is_ok()).count() >= 20,
        "{outcomes:?}"
    );
    fixture.audit().await;

    execute(&fixture.database, "DROP TABLE ballast").await;
    let (before, key) = (
        credit(&store).await,
        format!("{bought}/{}", "k".repeat(200)),
    );
    assert_eq!(
        store.reserve("username", 1, &key).await.unwrap().credit,
        before - 1
    );
    assert_eq!(
        store.settle(&key).await.unwrap().state,
        PurchaseState::Settled
    );
    fixture.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_database_is_reported_and_readable() {
    let (fixture, options) = sqlite().await;
    let (_users, store) = fixture.open_list(ONE_USER).await;
    let mut other = options.connect().await.unwrap();
    run(&mut other, "BEGIN EXCLUSIVE").await;
    // Several calls, so that a whole group commit is rejected at once and not one call after the
    // other.
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..10 {
        calls.spawn(store.reserve("username", 1, &format!("k{n}")).no_retry());
    }
    for outcome in calls.join_all().await {
        let error = outcome.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert_eq!(
            error.message(),
            "the users' database is locked by another process; nothing was changed"
        );
        assert!(error.as_error().retry_after().is_some());
    }
    assert_eq!(credit(&store).await, 1_000_000);
    run(&mut other, "ROLLBACK").await;
    assert_eq!(
        store.reserve("username", 1, "k0").await.unwrap().credit,
        999_999
    );
    other.close().await.unwrap();
    fixture.audit().await;
}

/// Reading may go on (`IMMEDIATE`) or not (an exclusive lock in the main file).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_database_is_not_ready() {
    let (fixture, options) = sqlite().await;
    let (users, store) = fixture.open_list(ONE_USER).await;
    users.ready().await.unwrap();
    for lock in ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"] {
        let mut other = options.connect().await.unwrap();
        run(&mut other, lock).await;
        for _ in 0..2 {
            let why = users.ready().await.unwrap_err();
            assert_eq!(why.code(), Code::Unavailable);
            assert!(
                why.message().contains("is locked by another process"),
                "{why}"
            );
        }
        // With the retries of a client.
        let error = store.reserve("username", 1, "k").await.unwrap_err();
        assert!(
            error.message().contains("is locked by another process"),
            "{error}"
        );
        assert!(error.message().contains("after 3 attempts"), "{error}");
        assert_eq!(credit(&store).await, 1_000_000);
        run(&mut other, "ROLLBACK").await;
        users.ready().await.unwrap();
        other.close().await.unwrap();
    }
    store.reserve("username", 1, "k").await.unwrap();
}

/// Two stores on one file take turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_that_share_a_file_wait_for_each_other() {
    let (fixture, _) = sqlite().await;
    let (_one, first) = fixture.open_list(ONE_USER).await;
    let (_two, second) = fixture.open_list(ONE_USER).await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..200 {
        let store = if n % 2 == 0 { &first } else { &second };
        calls.spawn(store.reserve("username", 1, &format!("k{n}")));
    }
    for outcome in calls.join_all().await {
        outcome.unwrap();
    }
    assert_eq!(credit(&first).await, 999_800);
    fixture.audit().await;
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) {
    sqlx::query(sql).execute(connection).await.unwrap();
}

#[tokio::test]
async fn a_foreign_file_is_reported_and_left_unchanged() {
    let (fixture, options) = sqlite().await;
    std::fs::write(options.get_filename(), "no database\n".repeat(1000)).unwrap();
    let list = UserList::parse(ONE_USER).unwrap();
    let error = Users::open_with(&fixture.database, list, Settings::default())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::DataLoss);
    assert!(
        error
            .message()
            .starts_with("cannot open the users' database: "),
        "{error}"
    );
    assert!(
        error
            .message()
            .ends_with("file is not a database; its files are unchanged; restore a backup with `fibpro restore`"),
        "{error}"
    );
    let content = std::fs::read_to_string(options.get_filename()).unwrap();
    assert_eq!(content, "no database\n".repeat(1000));
}

#[tokio::test]
async fn a_database_of_a_later_version_is_left_alone() {
    let (fixture, _) = sqlite().await;
    drop(fixture.open_list(ONE_USER).await);
    execute(
        &fixture.database,
        "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1",
    )
    .await;
    let list = UserList::parse(ONE_USER).unwrap();
    let error = Users::open_with(&fixture.database, list, Settings::default())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(
        error
            .message()
            .contains("belongs to another version of this program"),
        "{error}"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_its_owners() {
    use std::os::unix::fs::PermissionsExt as _;

    let (fixture, options) = sqlite().await;
    let (_users, store) = fixture.open_list(ONE_USER).await;
    store.set_credit("username", 1).await.unwrap();
    for end in ["", "-wal", "-shm"] {
        let path = format!("{}{end}", options.get_filename().display());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections_fail_no_call() {
    let Some(fixture) = Fixture::new(Engine::Postgres).await else {
        return;
    };
    let (_users, store) = fixture.open_list(ONE_USER).await;
    for round in 0..3 {
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..40 {
            let (store, key) = (store.clone(), format!("{round}/{n}"));
            calls.spawn(async move {
                store.reserve("username", 1, &key).no_retry().await?;
                store.get_user("username").no_retry().await?;
                store.settle(&key).no_retry().await
            });
        }
        execute(
            &fixture.database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
        for outcome in calls.join_all().await {
            outcome.unwrap();
        }
    }
    assert_eq!(credit(&store).await, 1_000_000 - 120);
    fixture.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_table_is_reported_and_not_ready() {
    let Some(fixture) = Fixture::new(Engine::Postgres).await else {
        return;
    };
    let Database::Postgres(options) = &fixture.database else {
        panic!("{:?}", fixture.database);
    };
    let (users, store) = fixture.open_list(ONE_USER).await;
    users.ready().await.unwrap();
    let mut other = options.connect().await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE users IN SHARE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let error = store
        .reserve("username", 1, "k")
        .no_retry()
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(
        error.message(),
        "the users' database is locked by another process; nothing was changed"
    );
    let why = users.ready().await.unwrap_err();
    assert!(why.message().contains("locked"), "{why}");
    assert_eq!(credit(&store).await, 1_000_000);
    lock.rollback().await.unwrap();
    users.ready().await.unwrap();
    assert_eq!(
        store.reserve("username", 1, "k").await.unwrap().credit,
        999_999
    );
    fixture.audit().await;
}
