//! The files of an SQLite database: damage while a store runs, and the files that it leaves.

use std::fs;
use std::path::{Path, PathBuf};

use fibpro::api::userstore::UserStoreClient;
use fibpro::service::userstore::{Database, Settings, UserList, Users};
use rpc_runtime::Code;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::fixture::{Engine, Fixture, Folder, audit, count, runtime};
use super::program::{Program, userstore_in};
use crate::process::Ended;

const ONE_USER: &str = r#"[{"username": "username", "password": "password", "credit": 100}]"#;

/// A running store on `data/users.sqlite` of a folder of its own.
struct StoreOnDisk {
    folder: Folder,
    users: Users,
    store: UserStoreClient,
}

impl StoreOnDisk {
    async fn start() -> Self {
        let folder = Folder::new();
        let users = open(&folder, ONE_USER).await.unwrap();
        let store = UserStoreClient::local(users.clone());
        let running = Self {
            folder,
            users,
            store,
        };
        for n in 0..15 {
            running.buy(n).await.unwrap();
        }
        running
    }

    fn path(&self, suffix: &str) -> PathBuf {
        path(&self.folder, suffix)
    }

    async fn buy(&self, n: u32) -> Result<u64, Code> {
        let key = format!("k{n}");
        let reserved = self.store.reserve("username", 1, &key).no_retry().await;
        reserved.map_err(|error| error.code())?;
        let settled = self.store.settle(&key).no_retry().await;
        Ok(settled.map_err(|error| error.code())?.credit)
    }

    /// Asserts that nothing is read and nothing is changed.
    async fn is_refused(&self, what: &str) {
        for n in [1000, 1001] {
            assert_eq!(self.buy(n).await, Err(Code::Unavailable), "{what}");
        }
        let read = self.store.get_user("username").no_retry().await;
        let error = read.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{what}: {error}");
        assert!(error.as_error().retry_after().is_some());
        assert!(
            error.message().contains("while the user store runs"),
            "{error}"
        );
        assert!(self.users.ready().await.is_err(), "{what}");
    }
}

fn path(folder: &Folder, suffix: &str) -> PathBuf {
    folder.file("data").join(format!("users.sqlite{suffix}"))
}

async fn open(folder: &Folder, list: &str) -> rpc_runtime::Result<Users> {
    let database = Database::file(path(folder, ""));
    let list = UserList::parse(list).unwrap();
    Users::open_with(&database, list, settings()).await
}

fn settings() -> Settings {
    Settings {
        cost: fibpro::service::userstore::Argon2Cost::TEST,
        ..Settings::default()
    }
}

/// Returns the number of paid purchases in a database that no store uses.
async fn purchases(path: &Path) -> i64 {
    let database = Database::file(path);
    audit(&database).await;
    count(
        &database,
        "SELECT COUNT(*) FROM purchases WHERE state = 'settled'",
    )
    .await
}

/// A change to the files that can be undone.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Rename(&'static str),
    RenameFolder,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamed_file_is_missed_until_it_is_back() {
    let running = StoreOnDisk::start().await;
    let mut bought = 15;
    for fault in [
        Fault::Rename(""),
        Fault::Rename("-wal"),
        Fault::Rename("-shm"),
        Fault::RenameFolder,
    ] {
        let (from, to) = match fault {
            Fault::Rename(suffix) => (running.path(suffix), running.folder.file("away")),
            Fault::RenameFolder => (running.folder.file("data"), running.folder.file("away")),
        };
        fs::rename(&from, &to).unwrap();
        running.is_refused(&format!("{fault:?}")).await;
        fs::rename(&to, &from).unwrap();
        assert_eq!(
            running.buy(bought).await,
            Ok(u64::from(100 - bought - 1)),
            "{fault:?}"
        );
        bought += 1;
        running.users.ready().await.unwrap();
    }
    running.users.close().await.unwrap();
    assert_eq!(purchases(&running.path("")).await, i64::from(bought));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_wal_loses_no_acknowledged_purchase() {
    for suffix in ["-wal", "-shm"] {
        let running = StoreOnDisk::start().await;
        fs::remove_file(running.path(suffix)).unwrap();
        running.is_refused(suffix).await;
        // As after kill -9: what is on the disk now.
        let copy = running.folder.file("copy.sqlite");
        fs::copy(running.path(""), &copy).unwrap();
        assert_eq!(purchases(&copy).await, 15, "{suffix}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_content_of_a_removed_database_is_saved() {
    let running = StoreOnDisk::start().await;
    fs::remove_file(running.path("")).unwrap();
    running.is_refused("removed").await;
    let rescued = running.path(".rescued-1");
    assert_eq!(purchases(&rescued).await, 15);
    // Once, and not for each call.
    assert!(!running.path(".rescued-2").exists());
    // A restart does not begin anew.
    assert!(running.users.close().await.is_err());
    let error = open(&running.folder, ONE_USER).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().contains("is missing"), "{error}");
    assert!(error.message().contains("`fibpro restore`"), "{error}");
    assert!(!running.path("").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_file_in_its_place_is_noticed() {
    // Of this version, with other users.
    let other = StoreOnDisk::start().await;
    other.users.close().await.unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let running = StoreOnDisk::start().await;
        let copy = running.folder.file("copy");
        let source = if suffix.is_empty() {
            other.path("")
        } else {
            running.path(suffix)
        };
        fs::copy(source, &copy).unwrap();
        fs::rename(&copy, running.path(suffix)).unwrap();
        running.is_refused(suffix).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_file_is_noticed() {
    for (suffix, length) in [("", 0), ("", 50), ("", 4096), ("-wal", 0), ("-wal", 5000)] {
        let running = StoreOnDisk::start().await;
        // All tables are in the main file, and changes in `-wal`.
        let file = fs::File::options()
            .write(true)
            .open(running.path(suffix))
            .unwrap();
        assert!(file.metadata().unwrap().len() > length, "{suffix} {length}");
        file.set_len(length).unwrap();
        running.is_refused(&format!("{suffix} {length}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overwritten_file_is_noticed() {
    let other = StoreOnDisk::start().await;
    other.users.close().await.unwrap();
    for (suffix, content) in [
        ("", fs::read(other.path("")).unwrap()),
        ("", b"no database\n".repeat(2000)),
        ("-wal", vec![0; 1 << 20]),
    ] {
        let running = StoreOnDisk::start().await;
        fs::write(running.path(suffix), content).unwrap();
        running.is_refused(suffix).await;
    }
}

/// A new time of the same content is no fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_touched_file_is_no_fault() {
    let running = StoreOnDisk::start().await;
    let file = fs::File::options()
        .write(true)
        .open(running.path(""))
        .unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(running.buy(15).await, Ok(84));
    running.users.ready().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_folder_is_noticed() {
    let running = StoreOnDisk::start().await;
    fs::remove_dir_all(running.folder.file("data")).unwrap();
    running.is_refused("folder").await;
}

/// A database may shrink and its `-wal` may be emptied by tools of SQLite, without any loss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_of_sqlite_are_no_fault() {
    let running = StoreOnDisk::start().await;
    let options = SqliteConnectOptions::new().filename(running.path(""));
    let mut tool = options.connect().await.unwrap();
    for (n, sql) in [
        "CREATE TABLE ballast AS SELECT zeroblob(1000000) AS x",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "DROP TABLE ballast",
        "VACUUM",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    ]
    .into_iter()
    .enumerate()
    {
        sqlx::query(sql).execute(&mut tool).await.unwrap();
        running.users.ready().await.unwrap();
        running.buy(100 + u32::try_from(n).unwrap()).await.unwrap();
    }
    tool.close().await.unwrap();
    running.users.close().await.unwrap();
    assert_eq!(purchases(&running.path("")).await, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_database_that_had_users_is_refused() {
    let running = StoreOnDisk::start().await;
    running.users.close().await.unwrap();
    let content = fs::read(running.path("")).unwrap();
    // A database of another program, and one whose users are gone.
    let foreign = running.folder.file("foreign.sqlite");
    let create = SqliteConnectOptions::new()
        .filename(&foreign)
        .create_if_missing(true);
    let mut connection = create.connect().await.unwrap();
    sqlx::query("CREATE TABLE other (x)")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    for (what, content) in [
        ("is missing", None),
        ("is empty", Some(Vec::new())),
        ("has no tables", Some(fs::read(&foreign).unwrap())),
    ] {
        fs::remove_file(running.path("")).unwrap();
        if let Some(content) = &content {
            fs::write(running.path(""), content).unwrap();
        }
        let error = open(&running.folder, ONE_USER).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert!(error.message().contains(what), "{what}: {error}");
        fs::write(running.path(""), content.unwrap_or_default()).unwrap();
    }
    fs::write(running.path(""), &content).unwrap();
    let users = open(&running.folder, ONE_USER).await.unwrap();
    users.close().await.unwrap();
    // The operator begins anew on purpose.
    fs::remove_file(running.path("")).unwrap();
    fs::remove_file(running.folder.file("data/.users.sqlite.store")).unwrap();
    let users = open(&running.folder, ONE_USER).await.unwrap();
    let store = UserStoreClient::local(users);
    assert_eq!(
        store.get_user("username").await.unwrap().unwrap().credit,
        100
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_users_stays_a_new_one() {
    let folder = Folder::new();
    open(&folder, "[]").await.unwrap().close().await.unwrap();
    let users = open(&folder, ONE_USER).await.unwrap();
    let store = UserStoreClient::local(users);
    assert_eq!(
        store.get_user("username").await.unwrap().unwrap().credit,
        100
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_database_is_in_its_main_file() {
    let running = StoreOnDisk::start().await;
    // Readers have their connections.
    running.store.get_user("username").await.unwrap();
    running.users.close().await.unwrap();
    assert!(!running.path("-wal").exists() && !running.path("-shm").exists());
    assert_eq!(purchases(&running.path("")).await, 15);
    // Closing again, and calls after it.
    running.users.close().await.unwrap();
    assert!(running.buy(16).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_that_were_queued_are_in_the_file() {
    let running = StoreOnDisk::start().await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..50 {
        calls.spawn(
            running
                .store
                .reserve("username", 1, &format!("q{n}"))
                .no_retry(),
        );
    }
    tokio::task::yield_now().await;
    running.users.close().await.unwrap();
    let done = calls
        .join_all()
        .await
        .into_iter()
        .filter(Result::is_ok)
        .count();
    let database = Database::file(running.path(""));
    audit(&database).await;
    let kept = count(
        &database,
        "SELECT COUNT(*) FROM purchases WHERE key LIKE 'q%'",
    )
    .await;
    assert_eq!(kept, i64::try_from(done).unwrap());
}

/// The option for a database in the working directory.
const DATABASE: [&str; 2] = ["--database", "sqlite://users.sqlite"];

#[test]
fn sigterm_leaves_one_complete_file() {
    let folder = Folder::new();
    for round in 0..3 {
        let program = Program::start(userstore_in(&folder, &DATABASE));
        let reserve = format!(r#"{{"username": "developer", "amount": 1, "key": "k{round}"}}"#);
        assert_eq!(program.call("Reserve", &reserve).status, 200);
        let settle = format!(r#"{{"key": "k{round}"}}"#);
        assert_eq!(program.call("Settle", &settle).status, 200);
        let ended = program.stop();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let names = || {
            let mut names: Vec<_> = fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(), [".users.sqlite.store", "users.sqlite"]);
    }
    // A copy of this one file is a backup.
    let copy = folder.file("copy.sqlite");
    fs::copy(folder.file("users.sqlite"), &copy).unwrap();
    let runtime = runtime();
    assert_eq!(runtime.block_on(purchases(&copy)), 3);
}

#[test]
fn a_killed_store_without_files_does_not_start() {
    let folder = Folder::new();
    let start = || userstore_in(&folder, &DATABASE);
    let mut program = Program::start(start());
    let reserve = r#"{"username": "developer", "amount": 1, "key": "k"}"#;
    assert_eq!(program.call("Reserve", reserve).status, 200);
    for suffix in ["", "-wal", "-shm"] {
        let path = folder.file(&format!("users.sqlite{suffix}"));
        fs::remove_file(path).unwrap();
    }
    for key in ["l", "m"] {
        let reserve = format!(r#"{{"username": "developer", "amount": 1, "key": "{key}"}}"#);
        assert_eq!(program.call("Reserve", &reserve).code(), "unavailable");
    }
    program.kill();
    let stderr = program.stderr();
    let said = stderr
        .matches("was removed or renamed while the user store runs")
        .count();
    // Once in the log, and in the errors of the calls.
    let lines = stderr
        .lines()
        .filter(|line| line.contains("ERROR") && line.contains("was removed or renamed"));
    assert_eq!(
        lines.filter(|line| !line.contains("call side=")).count(),
        1,
        "{said}: {stderr}"
    );
    let ended = Ended::from(crate::process::output(&mut start()));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("but it has had users"),
        "{}",
        ended.stderr
    );
}

/// Another engine than SQLite has no files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_closed_as_well() {
    let Some(fixture) = Fixture::new(Engine::Postgres).await else {
        return;
    };
    let (users, store) = fixture.open_list(ONE_USER).await;
    store.reserve("username", 1, "k").await.unwrap();
    users.close().await.unwrap();
    let sessions = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert_eq!(count(&fixture.database, sessions).await, 0);
    assert!(store.reserve("username", 1, "l").no_retry().await.is_err());
}
