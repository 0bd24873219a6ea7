//! Starts after an unclean end, with files that lack acknowledged changes or are damaged.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use fibpro::api::userstore::UserStoreClient;
use fibpro::service::userstore::{
    Argon2Cost, Database, Settings, UserList, Users, backup, restore,
};
use rpc_runtime::{Code, Error, Result};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};

use super::fixture::{Folder, audit, execute, runtime};
use super::program::{Program, userstore_in};
use crate::process::{Ended, output};

const CREDIT: u64 = 100;

/// The files of a database, and its marker.
const FILES: [&str; 3] = ["users.sqlite", "users.sqlite-wal", ".users.sqlite.store"];

async fn open(folder: &Path) -> Result<Users> {
    let settings = Settings {
        cost: Argon2Cost::TEST,
        ..Settings::default()
    };
    let list =
        format!(r#"[{{"username": "username", "password": "password", "credit": {CREDIT}}}]"#);
    let database = Database::file(folder.join("users.sqlite"));
    Users::open_with(&database, UserList::parse(&list)?, settings).await
}

async fn refused(folder: &Path) -> Error {
    let error = open(folder).await.unwrap_err();
    assert!(
        matches!(error.code(), Code::FailedPrecondition | Code::DataLoss),
        "{error}"
    );
    error
}

async fn credit(users: &Users) -> u64 {
    let store = UserStoreClient::local(users.clone());
    store.get_user("username").await.unwrap().unwrap().credit
}

async fn buy(users: &Users, keys: std::ops::Range<u32>) {
    let store = UserStoreClient::local(users.clone());
    for n in keys {
        store
            .reserve("username", 1, &format!("k{n}"))
            .await
            .unwrap();
        store.settle(&format!("k{n}")).await.unwrap();
    }
}

/// A running store, and a reader of another program that keeps later changes in `-wal`.
struct StoreWithReader {
    folder: Folder,
    users: Users,
    _reader: SqliteConnection,
}

impl StoreWithReader {
    async fn start() -> Self {
        let folder = Folder::new();
        let data = folder.file("data");
        let users = open(&data).await.unwrap();
        buy(&users, 0..3).await;
        // Other pages than those of the file after more purchases.
        backup(
            &Database::file(data.join("users.sqlite")),
            &folder.file("backup"),
        )
        .await
        .unwrap();
        let reader = hold(&data).await;
        fs::copy(data.join("users.sqlite"), folder.file("older")).unwrap();
        buy(&users, 3..7).await;
        Self {
            folder,
            users,
            _reader: reader,
        }
    }

    /// Copies the files as kill -9 leaves them.
    fn killed(&self, name: &str) -> PathBuf {
        let copy = self.folder.file(name);
        fs::create_dir(&copy).unwrap();
        for file in FILES {
            fs::copy(self.folder.file("data").join(file), copy.join(file)).unwrap();
        }
        copy
    }
}

/// Begins to read: what is changed from now on is not moved into the main file.
pub(super) async fn hold(folder: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(folder.join("users.sqlite"));
    let mut reader = options.connect().await.unwrap();
    for sql in [
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "BEGIN",
        "SELECT credit FROM users",
    ] {
        sqlx::query(sql).execute(&mut reader).await.unwrap();
    }
    reader
}

fn write_at(path: &Path, bytes: &[u8], at: u64) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

fn truncate(path: &Path, length: u64) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(length).unwrap();
}

fn content(folder: &Path) -> Vec<Option<Vec<u8>>> {
    let read = |file: &&str| fs::read(folder.join(file)).ok();
    FILES[..2].iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_the_last_changes_is_refused() {
    let running = StoreWithReader::start().await;
    for (name, damage) in [
        (
            "removed",
            (&|wal: &Path| fs::remove_file(wal).unwrap()) as &dyn Fn(&Path),
        ),
        ("empty", &|wal| fs::write(wal, "").unwrap()),
        ("zeroed", &|wal| write_at(wal, &[0; 8192], 0)),
        ("halved", &|wal| {
            truncate(wal, fs::metadata(wal).unwrap().len() / 2);
        }),
        ("older main", &|wal| {
            fs::remove_file(wal).unwrap();
            fs::copy(running.folder.file("older"), wal.with_file_name(FILES[0])).unwrap();
        }),
        ("backup in place", &|wal| {
            fs::remove_file(wal).unwrap();
            fs::copy(running.folder.file("backup"), wal.with_file_name(FILES[0])).unwrap();
        }),
    ] {
        let folder = running.killed(name);
        damage(&folder.join(FILES[1]));
        let before = content(&folder);
        for _ in 0..2 {
            let error = refused(&folder).await;
            let text = error.message();
            for part in [
                "lacks the last ",
                "`fibpro restore`",
                "remove ",
                ".users.sqlite.store",
            ] {
                assert!(text.contains(part), "{name}: {text}");
            }
        }
        // What is refused can still be repaired.
        assert_eq!(content(&folder)[0], before[0], "{name}");
        for file in FILES {
            let _ = fs::remove_file(folder.join(file));
        }
        for file in FILES {
            fs::copy(running.folder.file("data").join(file), folder.join(file)).unwrap();
        }
        let users = open(&folder).await.unwrap();
        assert_eq!(credit(&users).await, CREDIT - 7, "{name}");
        users.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complete_files_of_a_killed_store_start() {
    let running = StoreWithReader::start().await;
    let folder = running.killed("complete");
    let users = open(&folder).await.unwrap();
    assert_eq!(credit(&users).await, CREDIT - 7);
    buy(&users, 7..9).await;
    users.close().await.unwrap();
    let users = open(&folder).await.unwrap();
    assert_eq!(credit(&users).await, CREDIT - 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_can_go_on_without_lost_changes() {
    let running = StoreWithReader::start().await;
    let folder = running.killed("accepted");
    fs::remove_file(folder.join(FILES[1])).unwrap();
    refused(&folder).await;
    fs::remove_file(folder.join(FILES[2])).unwrap();
    let users = open(&folder).await.unwrap();
    assert_eq!(credit(&users).await, CREDIT - 3);
    users.close().await.unwrap();

    // Or with a backup, which has fewer changes than were acknowledged as well.
    let folder = running.killed("restored");
    fs::remove_file(folder.join(FILES[1])).unwrap();
    refused(&folder).await;
    let database = Database::file(folder.join(FILES[0]));
    restore(&running.folder.file("backup"), &database)
        .await
        .unwrap();
    let users = open(&folder).await.unwrap();
    assert_eq!(credit(&users).await, CREDIT - 3);
    users.close().await.unwrap();
    audit(&database).await;
}

/// A database of a version that did not count transactions has no number in its marker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_an_older_version_starts() {
    let folder = Folder::new();
    let users = open(folder.path()).await.unwrap();
    buy(&users, 0..2).await;
    users.close().await.unwrap();
    let database = Database::file(folder.file(FILES[0]));
    execute(&database, "DROP TABLE revision").await;
    execute(&database, "DELETE FROM _sqlx_migrations WHERE version = 2").await;
    fs::write(folder.file(FILES[2]), "users.sqlite has users.\n").unwrap();
    let users = open(folder.path()).await.unwrap();
    buy(&users, 2..4).await;
    users.close().await.unwrap();
    let users = open(folder.path()).await.unwrap();
    assert_eq!(credit(&users).await, CREDIT - 4);
    let marker = fs::read_to_string(folder.file(FILES[2])).unwrap();
    assert!(
        marker.contains("\nchanges 00000000000000000004 "),
        "{marker}"
    );
}

#[test]
fn a_truncated_wal_and_kill_9_end_the_next_start() {
    let folder = Folder::new();
    let start = || userstore_in(&folder, &["--database", "sqlite://users.sqlite"]);
    let buy = |program: &Program, key: &str| {
        let body = format!(r#"{{"username": "developer", "amount": 1, "key": "{key}"}}"#);
        program.call("Reserve", &body)
    };
    let mut program = Program::start(start());
    let runtime = runtime();
    let reader = runtime.block_on(hold(folder.path()));
    for key in ["a", "b", "c"] {
        assert_eq!(buy(&program, key).status, 200);
    }
    truncate(&folder.file(FILES[1]), 0);
    assert_eq!(buy(&program, "d").code(), "unavailable");
    program.kill();
    drop(reader);
    let ended = Ended::from(output(&mut start()));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(
        ended
            .stderr
            .contains("lacks the last 3 acknowledged transactions"),
        "{}",
        ended.stderr
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saved_copy_is_no_new_beginning() {
    type Loss = fn(&Path);
    let losses: [(&str, Loss); 3] = [
        ("renamed folder", |data| {
            fs::rename(data, data.with_file_name("away")).unwrap();
        }),
        ("removed folder", |data| fs::remove_dir_all(data).unwrap()),
        ("removed files", |data| {
            for entry in fs::read_dir(data).unwrap() {
                fs::remove_file(entry.unwrap().path()).unwrap();
            }
        }),
    ];
    for (what, lose) in losses {
        let running = StoreWithReader::start().await;
        let data = running.folder.file("data");
        lose(&data);
        let store = UserStoreClient::local(running.users.clone());
        for key in ["x", "y"] {
            let error = store.reserve("username", 1, key).no_retry().await;
            assert_eq!(error.unwrap_err().code(), Code::Unavailable, "{what}");
        }
        let copy = match data.is_dir() {
            true => data.join("users.sqlite.rescued-1"),
            // The place of the folder stays free, so that it can be put back.
            false => running.folder.file("data.users.sqlite.rescued-1"),
        };
        assert!(copy.is_file(), "{what}");
        assert_eq!(data.join(FILES[2]).exists(), data.is_dir(), "{what}");
        // As after kill -9: nothing is closed.
        let error = refused(&data).await;
        let text = error.message();
        assert!(text.contains(copy.to_str().unwrap()), "{what}: {text}");
        assert!(!data.join(FILES[0]).exists(), "{what}");
        // Not even without the marker.
        let _ = fs::remove_file(data.join(FILES[2]));
        refused(&data).await;
        restore(&copy, &Database::file(data.join(FILES[0])))
            .await
            .unwrap();
        let users = open(&data).await.unwrap();
        assert_eq!(credit(&users).await, CREDIT - 7, "{what}");
        users.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marker_that_was_removed_is_written_again() {
    let running = StoreWithReader::start().await;
    let marker = running.folder.file("data").join(FILES[2]);
    fs::remove_file(&marker).unwrap();
    running.users.close().await.unwrap();
    let text = fs::read_to_string(&marker).unwrap();
    assert!(text.contains("\nchanges "), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_database_does_not_start() {
    let running = StoreWithReader::start().await;
    let path = |folder: &Path| folder.join(FILES[0]);
    let damage_page = |folder: &Path| write_at(&path(folder), &[0x55; 4096], 8192);
    for (name, damage) in [
        // `cat backup > users.sqlite` while the store runs, and kill -9.
        (
            "below its wal",
            (&|folder: &Path| {
                fs::copy(running.folder.file("backup"), path(folder)).unwrap();
            }) as &dyn Fn(&Path),
        ),
        ("page", &damage_page),
        ("closed, page", &|folder| {
            fs::remove_file(folder.join(FILES[1])).unwrap();
            fs::copy(running.folder.file("backup"), path(folder)).unwrap();
            damage_page(folder);
        }),
        ("closed, half", &|folder| {
            fs::remove_file(folder.join(FILES[1])).unwrap();
            truncate(&path(folder), 8192);
        }),
        ("closed, header", &|folder| {
            fs::remove_file(folder.join(FILES[1])).unwrap();
            write_at(&path(folder), &[0; 16], 0);
        }),
    ] {
        let folder = running.killed(name);
        damage(&folder);
        let before = content(&folder);
        for _ in 0..2 {
            let error = refused(&folder).await;
            let text = error.message();
            assert_eq!(error.code(), Code::DataLoss, "{name}: {text}");
            assert!(text.contains("`fibpro restore`"), "{name}: {text}");
            assert_eq!(content(&folder)[0], before[0], "{name}");
        }
        let database = Database::file(path(&folder));
        restore(&running.folder.file("backup"), &database)
            .await
            .unwrap();
        let users = open(&folder).await.unwrap();
        assert_eq!(credit(&users).await, CREDIT - 3, "{name}");
        users.close().await.unwrap();
    }
}

/// Also `fibpro backup` does not move a `-wal` into a main file that it does not belong to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_changes_no_files_of_a_killed_store() {
    let running = StoreWithReader::start().await;
    let folder = running.killed("killed");
    let before = content(&folder);
    let database = Database::file(folder.join(FILES[0]));
    let copied = backup(&database, &folder.join("copy")).await.unwrap();
    assert_eq!(copied.purchases, 7);
    assert_eq!(content(&folder), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_found_while_running_ends_all_calls() {
    let folder = Folder::new();
    let users = open(folder.path()).await.unwrap();
    let path = folder.file(FILES[0]);
    let database = Database::file(&path);
    execute(
        &database,
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
         INSERT INTO users SELECT 'u' || i, printf('%0200d', i), '[]', 0 FROM n",
    )
    .await;
    execute(&database, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    let length = fs::metadata(&path).unwrap().len();
    let half = length / 2 / 4096 * 4096;
    assert!(half > 64 << 10, "{length}");
    write_at(
        &path,
        &vec![0; usize::try_from(length - half).unwrap()],
        half,
    );
    let damaged = fs::read(&path).unwrap();
    let store = UserStoreClient::local(users.clone());
    let mut found = None;
    for n in 1..=2000 {
        if let Err(error) = store.get_user(&format!("u{n}")).no_retry().await {
            found = Some(error.code());
            break;
        }
    }
    assert_eq!(found, Some(Code::DataLoss));
    assert_eq!(users.ready().await.unwrap_err().code(), Code::DataLoss);
    let reserved = store.reserve("username", 1, "k").no_retry().await;
    assert_eq!(reserved.unwrap_err().code(), Code::DataLoss);
    assert_eq!(users.close().await.unwrap_err().code(), Code::DataLoss);
    assert_eq!(fs::read(&path).unwrap(), damaged);
    let error = refused(folder.path()).await;
    assert_eq!(error.code(), Code::DataLoss, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_symbolic_link_is_named() {
    let folder = Folder::new();
    open(folder.path()).await.unwrap().close().await.unwrap();
    let link = folder.file("link");
    fs::create_dir(&link).unwrap();
    std::os::unix::fs::symlink(folder.file(FILES[0]), link.join(FILES[0])).unwrap();
    let error = refused(&link).await;
    let real = fs::canonicalize(folder.file(FILES[0])).unwrap();
    let advice = format!(
        "it is a symbolic link; use the database itself: `--database sqlite://{}`",
        real.display()
    );
    assert!(error.message().ends_with(&advice), "{error}");
}
