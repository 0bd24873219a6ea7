//! Starts: several stores at once, and users that are added in parts.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use fibpro::service::userstore::{Argon2Cost, Clock, Database, Settings, UserList, Users};
use futures_util::future::join_all;
use jiff::Timestamp;
use parking_lot::Mutex;
use rpc_runtime::Code;
use rpc_tests::wait::until;

use super::fixture::{Engine, Fixture, count, execute, list_of, on_both};
use super::program::{Program, userstore};
use super::waiting::Blocker;

pub(crate) const USERS: &str = "SELECT COUNT(*) FROM users";

/// Returns settings whose clock stops the import at an entry: the first value arrives when it is
/// reached, and the import goes on when the second channel is closed.
fn stopping_at(entry: usize) -> (Settings, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (reached, is_reached) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let (calls, goes_on) = (AtomicUsize::new(0), Mutex::new(goes_on));
    let clock = Clock::new(move || {
        if calls.fetch_add(1, Ordering::Relaxed) == entry {
            let _ = reached.send(());
            let _ = goes_on.lock().recv();
        }
        Timestamp::now()
    });
    let settings = Settings {
        clock,
        cost: Argon2Cost::TEST,
        ..Settings::default()
    };
    (settings, is_reached, go_on)
}

/// Begins to add users, and drops the start within the part with the hundredth entry, or a little
/// before. That part is added all the same. Returns the number of users, at least `least`.
pub(crate) async fn interrupt(database: &Database, list: &str, least: i64) -> i64 {
    let (settings, reached, go_on) = stopping_at(100);
    let list = UserList::parse(list).unwrap();
    tokio::select! {
        opened = Users::open_with(database, list, settings) => panic!("{opened:?}"),
        reached = tokio::task::spawn_blocking(move || reached.recv()) => reached.unwrap().unwrap(),
    }
    drop(go_on);
    let mut added = 0;
    until(async || {
        added = count(database, USERS).await;
        added >= least
    })
    .await;
    added
}

on_both! {
    async fn an_interrupted_import_is_continued(fixture) {
        let list = list_of(300);
        for least in [90, 180] {
            let added = interrupt(&fixture.database, &list, least).await;
            assert!((least..300).contains(&added), "{added}");
        }
        let (_users, store) = fixture.open_list(&list).await;
        assert_eq!(count(&fixture.database, USERS).await, 300);
        for name in ["u0", "u150", "u299"] {
            store.verify(name, "p".to_owned().into()).await.unwrap();
        }
        // Complete: the next start adds none, whatever its list.
        execute(&fixture.database, "DELETE FROM ledger WHERE username = 'u7'").await;
        execute(&fixture.database, "DELETE FROM users WHERE username = 'u7'").await;
        for list in [list, list_of(400)] {
            let (_users, store) = fixture.open_list(&list).await;
            assert_eq!(store.get_user("u7").await.unwrap(), None);
        }
    }

    /// Its users would be added to those of the first one, such as the public ones of the tutorial.
    async fn another_list_does_not_continue_an_import(fixture) {
        let added = interrupt(&fixture.database, &list_of(200), 90).await;
        let tutorial = UserList::tutorial().unwrap();
        for other in [UserList::parse(&list_of(201)).unwrap(), tutorial, UserList::default()] {
            let error = Users::open_with(&fixture.database, other, fixture.settings()).await.unwrap_err();
            assert_eq!(error.code(), Code::FailedPrecondition);
            assert!(error.message().contains("was interrupted while it added those of another list"), "{error}");
            assert_eq!(count(&fixture.database, USERS).await, added);
        }
        let (_users, store) = fixture.open_list(&list_of(200)).await;
        assert_eq!(store.get_user("u199").await.unwrap().unwrap().credit, 1000);
    }
}

/// Opens stores on one database at the same time, of which one adds the users.
async fn open_at_once(database: &Database, count_of_stores: usize) {
    let opening = (0..count_of_stores).map(|_| {
        let settings = Settings {
            cost: Argon2Cost::TEST,
            ..Settings::default()
        };
        Users::open_with(database, UserList::parse(&list_of(70)).unwrap(), settings)
    });
    for users in join_all(opening).await {
        users.unwrap().ready().await.unwrap();
    }
    assert_eq!(count(database, USERS).await, 70);
    super::fixture::audit(database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_that_start_at_once_on_a_file() {
    for _ in 0..10 {
        let fixture = Fixture::new(Engine::Sqlite).await.unwrap();
        open_at_once(&fixture.database, 4).await;
        // And on a database that has been closed.
        open_at_once(&fixture.database, 4).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_that_start_at_once_on_a_server() {
    for _ in 0..5 {
        let Some(fixture) = Fixture::new(Engine::Postgres).await else {
            return;
        };
        open_at_once(&fixture.database, 4).await;
    }
}

/// Four processes, of which three wait for the users of the first.
#[test]
fn processes_that_start_at_once_on_a_file() {
    let folder = super::fixture::Folder::new();
    let database = format!("sqlite://{}", folder.file("users.sqlite").display());
    let list = folder.file("users.json");
    std::fs::write(&list, list_of(40)).unwrap();
    let list = list.to_str().unwrap();
    let starting: Vec<_> = (0..4)
        .map(|_| {
            let command = userstore(&["--database", &database, "--users", list]);
            std::thread::spawn(move || Program::start(command))
        })
        .collect();
    for started in starting {
        let program = started.join().unwrap();
        let body = r#"{"username": "u39"}"#;
        assert_eq!(program.call("GetUser", body).body["result"]["credit"], 1000);
    }
}

/// The limits of a store's sessions do not hold for its migrations.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_may_wait_long() {
    let Some(fixture) = Fixture::new(Engine::Postgres).await else {
        return;
    };
    // Another one that begins the same migration.
    let other = "CREATE TABLE users (username TEXT PRIMARY KEY)";
    let other = Blocker::of(&fixture.database, other).await;
    let list = UserList::parse(&list_of(1)).unwrap();
    let mut opening = pin!(Users::open_with(
        &fixture.database,
        list,
        fixture.settings()
    ));
    // Longer than a session of the store waits for a lock.
    let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND \
         wait_event_type = 'Lock' AND clock_timestamp() - query_start > interval '1.5 s'";
    tokio::select! {
        opened = &mut opening => panic!("{opened:?}"),
        () = until(async || count(&fixture.database, waiting).await > 0) => {}
    }
    other.end("ROLLBACK").await;
    let users = opening.await.unwrap();
    users.ready().await.unwrap();
    fixture.audit().await;
}

/// Killed while it adds users, as by `up --processes` that ends.
#[test]
fn a_killed_store_continues_its_import() {
    let folder = super::fixture::Folder::new();
    let path = folder.file("users.sqlite");
    let database = format!("sqlite://{}", path.display());
    let list = folder.file("users.json");
    std::fs::write(&list, list_of(16)).unwrap();
    let start = || userstore(&["--database", &database, "--users", list.to_str().unwrap()]);
    let users = |runtime: &tokio::runtime::Runtime| {
        runtime.block_on(async { count(&Database::file(&path), USERS).await })
    };
    let runtime = super::fixture::runtime();
    let mut first = crate::process::start(start().args(["--listen", "127.0.0.1:0"]));
    first.wait_for_stderr("Added user: u0 ").unwrap();
    first.kill9().unwrap();
    let added = users(&runtime);
    assert!((1..=16).contains(&added), "{added}");
    let program = Program::start(start());
    assert_eq!(users(&runtime), 16);
    assert_eq!(program.stop().code, Some(0));
}

#[test]
fn a_long_list_is_read_in_seconds() {
    let list = UserList::parse(&list_of(80_000)).unwrap();
    assert_eq!(list.len(), 80_000);
    let twice = list_of(80_000).replace("u79999", "u40000");
    let error = UserList::parse(&twice).unwrap_err();
    assert_eq!(
        error.message(),
        "users[79999].username: duplicate of users[40000]"
    );
}
