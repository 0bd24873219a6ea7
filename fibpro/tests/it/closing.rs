//! Databases that another process reads at the stop, and files that cannot be written at the start.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};

use crate::process::{Ended, Folder, LogSink, command, is_root, output};
use crate::userstore::program::{Program, userstore};

/// Begins a transaction of another process that reads or writes.
async fn begin(path: &Path, transaction: &'static str) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    let mut connection = options.connect().await.unwrap();
    for statement in [transaction, "SELECT * FROM sqlite_master"] {
        sqlx::query(statement)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    connection
}

/// Checks the end of a program whose database another one uses in this transaction.
fn assert_remains(ended: &Ended, what: &str, path: &Path, transaction: &str) {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let line = format!("{what} remain in {}-wal", path.display());
    for text in [line.as_str(), ": another process uses it"] {
        assert!(ended.stderr.contains(text), "{transaction}: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_store_in_use_at_the_stop_is_reported() {
    for transaction in ["BEGIN", "BEGIN IMMEDIATE"] {
        let folder = Folder::new();
        let path = folder.file("logs.sqlite");
        let sink = LogSink::start_with(&path);
        let append = |sequence: u64| {
            let record = json!({"source": "userstore@prod/a1", "epoch": 1, "sequence": sequence,
                "level": "warn", "time": "2026-11-22T12:25:34.021Z", "text": "text"});
            let batch = json!({"records": [record]}).to_string();
            assert_eq!(sink.call("Append", &batch).body, json!({"result": 1}));
        };
        append(1);
        let reader = if transaction == "BEGIN" {
            let reader = begin(&path, transaction).await;
            // Not in the snapshot of the reader.
            append(2);
            reader
        } else {
            append(2);
            begin(&path, transaction).await
        };
        sink.terminate();
        let ended = tokio::task::block_in_place(|| sink.ended());
        assert_remains(&ended, "records", &path, transaction);
        drop(reader);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_database_in_use_at_the_stop_is_reported() {
    for transaction in ["BEGIN", "BEGIN IMMEDIATE"] {
        let folder = Folder::new();
        let path = folder.file("users.sqlite");
        let program = tokio::task::block_in_place(|| Program::start(on(userstore(&[]), &path)));
        let other = begin(&path, transaction).await;
        if transaction == "BEGIN" {
            let body = r#"{"username": "username", "credit": 4}"#;
            assert_eq!(program.call("SetCredit", body).status, 200);
        }
        let ended = tokio::task::block_in_place(|| program.stop());
        assert_remains(&ended, "changes", &path, transaction);
        drop(other);
    }
}

/// Makes a user store use this database.
fn on(mut command: Command, path: &Path) -> Command {
    command.env("FIBPRO_DATABASE", format!("sqlite://{}", path.display()));
    command
}

/// Returns the command of the user store for a user who has no right to everything.
fn unprivileged(path: &Path) -> Command {
    if !is_root() {
        return on(userstore(&[]), path);
    }
    let mut wrapped = command("setpriv", &["--reuid=65534", "--clear-groups"]);
    wrapped.arg(env!("CARGO_BIN_EXE_userstore"));
    on(wrapped, path)
}

/// Gives a folder to that user. Returns false, and prints why, where the program cannot be run so.
fn give(folder: &Folder) -> bool {
    if is_root() {
        chown(folder.path(), Some(65534), None).unwrap();
    }
    let mut probe = unprivileged(Path::new("/nowhere"));
    let probe = probe
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let runs = probe.status().is_ok_and(|status| status.success());
    if !runs {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: `setpriv` (of util-linux) cannot run the program as another user"
        );
    }
    runs
}

#[test]
fn read_only_files_are_refused_by_name() {
    let folder = Folder::new();
    if !give(&folder) {
        return;
    }
    let path = folder.file("users.sqlite");
    let index = folder.file("users.sqlite-shm");
    let set = |path: &Path, mode: u32| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    let refused = |what: &Path| {
        let mut command = unprivileged(&path);
        let ended = Ended::from(output(command.args(["--listen", "127.0.0.1:0"])));
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let advice = format!("`chmod u+w {}`", what.display());
        assert!(ended.stderr.contains(&advice), "{ended:?}");
    };
    let works = || {
        let ended = Program::start(unprivileged(&path)).stop();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(!index.exists(), "{ended:?}");
    };
    works();
    set(&path, 0o400);
    refused(&path);
    assert!(!index.exists());
    set(&path, 0o600);
    works();
    // As an earlier version has left it.
    fs::write(&index, "").unwrap();
    let owner = fs::metadata(&path).unwrap().uid();
    chown(&index, Some(owner), None).unwrap();
    set(&index, 0o400);
    works();
    set(folder.path(), 0o500);
    refused(folder.path());
    set(folder.path(), 0o700);
    works();
}
