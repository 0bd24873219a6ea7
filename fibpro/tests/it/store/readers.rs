//! The limit of the log store while others read it.

use std::path::Path;

use rpc_runtime::Code;
use sqlx::{Connection as _, SqliteConnection};

use super::{BYTES, StoreFixture, all, connect, record};
use crate::process::Folder;

/// Begins a transaction that reads, as another process does.
async fn reader(path: &Path) -> SqliteConnection {
    let mut reader = connect(path).await;
    for sql in ["BEGIN", "SELECT COUNT(*) FROM records"] {
        sqlx::query(sql).execute(&mut reader).await.unwrap();
    }
    reader
}

/// Returns the length of the file and its `-wal`, in bytes.
fn length(path: &Path) -> u64 {
    ["", "-wal"]
        .map(|end| format!("{}{end}", path.display()))
        .map(|path| std::fs::metadata(path).map_or(0, |metadata| metadata.len()))
        .iter()
        .sum()
}

/// Appends up to `most` batches of this many records until one is refused. Returns the number of
/// batches, and the code of the error.
async fn append_until_refused(
    store: &StoreFixture,
    path: &Path,
    first: u64,
    (most, records): (u64, u64),
) -> (u64, Option<Code>) {
    let text = "x".repeat(1000);
    for batch in 0..most {
        let numbers = (0..records).map(|n| first + batch * records + n);
        let records: Vec<_> = numbers.map(|n| record(n, &text)).collect();
        let appended = store.logs.append(&records[..]).no_retry().await;
        assert!(length(path) <= BYTES, "{} bytes", length(path));
        if let Err(error) = appended {
            assert!(error.as_error().retry_after().is_some());
            assert!(
                error.message().contains("has been read for long"),
                "{error}"
            );
            return (batch, Some(error.code()));
        }
    }
    (most, None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_does_not_lift_the_limit() {
    // Small, middle and large transactions.
    for records in [1, 100, 2000] {
        let folder = Folder::new();
        let path = folder.file("logs.sqlite");
        let store = StoreFixture::start(&path, BYTES).await;
        // Full, so that each batch evicts as much.
        for n in 0..30 {
            let text = "x".repeat(1000);
            let records: Vec<_> = (0..1000).map(|i| record(1 + n * 1000 + i, &text)).collect();
            store.logs.append(&records[..]).await.unwrap();
            assert!(length(&path) <= BYTES, "{} bytes", length(&path));
        }
        let held = reader(&path).await;
        let (batches, code) = append_until_refused(&store, &path, 100_000, (2000, records)).await;
        assert_eq!(code, Some(Code::ResourceExhausted), "{batches}");
        // It is said once, searches go on, and the lines are printed.
        assert!(!store.texts(all()).await.is_empty());
        held.close().await.unwrap();
        // The same record again, as the log exporter sends it.
        let refused = 100_000 + batches * records;
        assert_eq!(store.append_at_last(&[record(refused, "again")]).await, 1);
        let (_, code) = append_until_refused(&store, &path, 10_000_000, (20, records)).await;
        assert_eq!(code, None);
        store.finish().await.unwrap();
        assert!(length(&path) <= BYTES);
    }
}
