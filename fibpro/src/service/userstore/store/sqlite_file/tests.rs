use std::sync::Arc;

use rpc_tests::folder::Folder;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions as _, SqliteConnection};

use super::*;

/// Opens a database with one row.
async fn database(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let mut connection = options.connect().await.unwrap();
    for sql in [
        "CREATE TABLE numbers (id INTEGER PRIMARY KEY, n INTEGER)",
        "INSERT INTO numbers VALUES (1, 0)",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    ] {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_during_checks_are_no_faults() {
    let folder = Folder::new();
    let path = folder.file("users.sqlite");
    let mut connection = database(&path).await;
    let files = Arc::new(DatabaseFiles::open(&path).unwrap());
    let writing = tokio::spawn(async move {
        for _ in 0..400 {
            for sql in [
                "UPDATE numbers SET n = n + 1",
                "PRAGMA wal_checkpoint(PASSIVE)",
            ] {
                sqlx::query(sql).execute(&mut connection).await.unwrap();
            }
        }
        connection
    });
    let checked = Arc::clone(&files);
    let connection = tokio::task::spawn_blocking(move || {
        while !writing.is_finished() {
            checked.check().unwrap();
        }
        writing
    });
    let _open = connection.await.unwrap().await.unwrap();
    files.check().unwrap();
}

#[tokio::test]
async fn a_change_without_a_checkpoint_is_a_fault() {
    let folder = Folder::new();
    let path = folder.file("users.sqlite");
    let _open = database(&path).await;
    let files = DatabaseFiles::open(&path).unwrap();
    files.check().unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    // Within the first page, after its header.
    file.write_all_at(b"overwritten", 2048).unwrap();
    let fault = files.check().unwrap_err();
    assert_eq!(fault.kind, FileFaultKind::Overwritten);
}
