//! The log sink's store in process: deduplication, retention, and storage errors.

mod damage;
pub(crate) mod disk;
mod output;
mod readers;
mod shares;

use std::io;
use std::path::Path;

use fibpro::api::logsink::{Level, LogSinkClient, Page, QUERY_LIMIT, Query, Record};
use fibpro::service::logsink::{Intake, LogStore, LogStoreOptions, PrintQueue, Sink, WriterHandle};
use rpc_runtime::logs::LogsClient;
use rpc_runtime::{Code, RequestId};
use rpc_tests::captured::CapturedWriter;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::process::{Folder, POLL, POLLS, TEST_TIMEOUT};

const BYTES: u64 = 16 << 20;

/// A log sink with a store.
struct StoreFixture {
    logs: LogsClient,
    sink: LogSinkClient,
    printer: PrintQueue,
    captured: CapturedWriter,
    writing: WriterHandle,
}

impl StoreFixture {
    async fn start(path: &Path, bytes: u64) -> Self {
        let print = |out, intake| PrintQueue::start(out, Some(intake));
        Self::start_with(path, bytes, print).await
    }

    /// Starts a log sink with the output that `print` starts.
    async fn start_with(
        path: &Path,
        bytes: u64,
        print: impl FnOnce(CapturedWriter, Intake) -> io::Result<(PrintQueue, WriterHandle)>,
    ) -> Self {
        let (store, intake) = LogStore::start(LogStoreOptions {
            path: path.to_owned(),
            bytes,
        })
        .await;
        let captured = CapturedWriter::default();
        let (printer, writing) = print(captured.clone(), intake).unwrap();
        let sink = Sink::new(printer.clone(), Some(store));
        Self {
            logs: LogsClient::local(sink.clone()),
            sink: LogSinkClient::local(sink),
            printer,
            captured,
            writing,
        }
    }

    async fn texts(&self, query: Query) -> Vec<String> {
        let page = self.page(query).await;
        let texts = page.records.into_iter();
        texts.map(|logged| logged.record.text).collect()
    }

    async fn page(&self, query: Query) -> Page {
        self.sink.query(&query).await.unwrap()
    }

    /// Appends until the records are accepted, as the log exporter does.
    async fn append_at_last(&self, records: &[Record]) -> u32 {
        let mut last = None;
        for _ in 0..POLLS {
            match self.logs.append(records).no_retry().await {
                Ok(new) => return new,
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("{last:?}");
    }

    /// Appends once, and returns the error.
    async fn refused(&self, records: &[Record]) -> (Code, String) {
        let error = self.logs.append(records).no_retry().await.unwrap_err();
        assert!(error.as_error().retry_after().is_some());
        (error.code(), error.message().to_owned())
    }

    async fn finish(self) -> rpc_runtime::Result<()> {
        drop((self.logs, self.sink, self.printer));
        self.writing.finish(TEST_TIMEOUT).await
    }
}

fn record(sequence: u64, text: &str) -> Record {
    let source = "userstore@prod/a1".parse().unwrap();
    let time = "2026-11-22T12:25:34.021Z".parse().unwrap();
    let mut record = Record::new(source, time, Level::Info, text);
    record.epoch = Some(1);
    record.sequence = Some(sequence);
    record
}

fn all() -> Query {
    Query {
        limit: Some(QUERY_LIMIT),
        ..Query::default()
    }
}

async fn connect(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    options.connect().await.unwrap()
}

/// Connects to a database and locks it for writing.
async fn lock(path: &Path) -> SqliteConnection {
    let mut connection = connect(path).await;
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut connection)
        .await
        .unwrap();
    connection
}

#[tokio::test]
async fn a_repeated_record_is_printed_and_stored_once() {
    let folder = Folder::new();
    let fixture = StoreFixture::start(&folder.file("logs.sqlite"), BYTES).await;
    let (one, two, three) = (record(1, "one"), record(2, "two"), record(3, "three"));
    let append = async |records: &[&Record]| {
        let records: Vec<_> = records.iter().map(|record| (*record).clone()).collect();
        fixture.logs.append(&records).await.unwrap()
    };
    assert_eq!(append(&[&one, &three]).await, 2);
    assert_eq!(append(&[&one, &three]).await, 0);
    // Out of order, with one new record, and with a repetition inside one batch.
    assert_eq!(append(&[&three, &two, &two, &one]).await, 1);
    // Another session and another source have separate sequence numbers.
    let mut reborn = record(1, "reborn");
    reborn.epoch = Some(2);
    let mut other = record(1, "other");
    other.source = "pricing@prod/a1".parse().unwrap();
    assert_eq!(append(&[&reborn, &other, &reborn]).await, 2);
    // Records without a number are never treated as repetitions.
    let mut unnumbered = record(1, "unnumbered");
    unnumbered.sequence = None;
    assert_eq!(append(&[&unnumbered, &unnumbered]).await, 2);
    // The older method `recv_logs` returns the count of accepted records, and prints nothing for
    // it.
    assert_eq!(fixture.sink.recv_logs(&[one, two]).await.unwrap(), 2);
    let expected = [
        "one",
        "three",
        "two",
        "reborn",
        "other",
        "unnumbered",
        "unnumbered",
    ];
    assert_eq!(fixture.texts(all()).await, expected);
    let printed = fixture.captured.text();
    let printed: Vec<_> = printed
        .lines()
        .map(|line| line.split(' ').next_back().unwrap())
        .collect();
    assert_eq!(printed, expected, "and in the order of acceptance");
    fixture.finish().await.unwrap();
}

#[tokio::test]
async fn sequence_numbers_outlive_restarts_and_eviction() {
    let folder = Folder::new();
    let path = folder.file("logs.sqlite");
    let fixture = StoreFixture::start(&path, 1 << 20).await;
    let filler = "x".repeat(1000);
    let first: Vec<_> = (1..=100)
        .map(|sequence| record(sequence, &filler))
        .collect();
    assert_eq!(fixture.logs.append(&first).await.unwrap(), 100);
    for batch in 1..20 {
        let more: Vec<_> = (1..=100)
            .map(|sequence| record(batch * 100 + sequence, &filler))
            .collect();
        assert_eq!(fixture.logs.append(&more).await.unwrap(), 100);
    }
    let left = fixture.page(all()).await;
    assert!(
        (100..1000).contains(&left.records.len()),
        "{}",
        left.records.len()
    );
    assert_eq!(
        fixture.logs.append(&first).await.unwrap(),
        0,
        "gone, and not new"
    );
    fixture.finish().await.unwrap();

    let fixture = StoreFixture::start(&path, 1 << 20).await;
    assert_eq!(
        fixture.logs.append(&first).await.unwrap(),
        0,
        "after a restart, too"
    );
    assert_eq!(fixture.captured.text(), "");
    assert_eq!(fixture.page(all()).await, left);
    fixture.finish().await.unwrap();
}

fn size(path: &Path) -> u64 {
    ["", "-wal"]
        .iter()
        .filter_map(|ending| std::fs::metadata(format!("{}{ending}", path.display())).ok())
        .map(|metadata| metadata.len())
        .sum()
}

#[tokio::test]
async fn the_file_keeps_its_bound_oldest_first() {
    let folder = Folder::new();
    let path = folder.file("logs.sqlite");
    let bytes = 4 << 20;
    let fixture = StoreFixture::start(&path, bytes).await;
    let mut largest = 0;
    let mut sequence = 0;
    // Short texts, and long ones that SQLite keeps in overflow pages.
    for round in 0..100_usize {
        let batch: Vec<_> = (0..100)
            .map(|index| {
                sequence += 1;
                let long = if index == 50 { 40_000 } else { 50 + round };
                let mut record = record(sequence, &"y".repeat(long));
                record.request_id = Some(RequestId::random());
                record.level = Level::Error;
                record
            })
            .collect();
        assert_eq!(fixture.logs.append(&batch).await.unwrap(), 100);
        largest = largest.max(size(&path));
    }
    assert!(largest <= bytes, "{largest}");
    assert!(largest > bytes / 2, "{largest}: the capacity is used");
    let left = fixture.page(all()).await.records;
    let numbers: Vec<_> = left
        .iter()
        .map(|logged| logged.record.sequence.unwrap())
        .collect();
    let expected: Vec<_> = (sequence - numbers.len() as u64 + 1..=sequence).collect();
    assert_eq!(numbers, expected, "the last ones, without a gap");
    assert!(numbers.len() > 500, "{}", numbers.len());
    fixture.finish().await.unwrap();

    // With a smaller bound the file shrinks at the start.
    let fixture = StoreFixture::start(&path, bytes / 2).await;
    assert!(size(&path) <= bytes / 2, "{}", size(&path));
    let left = fixture.page(all()).await.records;
    assert_eq!(left.last().unwrap().record.sequence, Some(sequence));
    assert_eq!(
        fixture
            .logs
            .append(&[record(sequence + 1, "z")])
            .await
            .unwrap(),
        1
    );
    fixture.finish().await.unwrap();
}

#[tokio::test]
async fn an_oversized_record_is_reported_and_the_rest_kept() {
    let folder = Folder::new();
    let fixture = StoreFixture::start(&folder.file("logs.sqlite"), 256 << 10).await;
    assert_eq!(fixture.logs.append(&[record(1, "one")]).await.unwrap(), 1);
    let huge: Vec<_> = (2..10).map(|n| record(n, &"x".repeat(60_000))).collect();
    assert_eq!(
        fixture.refused(&huge).await,
        (
            Code::ResourceExhausted,
            "cannot store log records: the disk of the log store is full".to_owned()
        )
    );
    // A rejected record is not stored, and the stored records are kept.
    assert_eq!(fixture.texts(all()).await, ["one"]);
    assert_eq!(
        fixture.captured.text().lines().count(),
        9,
        "the output is not full"
    );
    assert_eq!(fixture.logs.append(&huge[..1]).await.unwrap(), 1);
    assert_eq!(fixture.logs.append(&[record(10, "ten")]).await.unwrap(), 1);
    assert_eq!(
        fixture.captured.text().lines().count(),
        10,
        "none is printed twice"
    );
    fixture.finish().await.unwrap();
}

#[tokio::test]
async fn a_foreign_lock_is_reported_and_waited_for() {
    let folder = Folder::new();
    let path = folder.file("logs.sqlite");
    let fixture = StoreFixture::start(&path, BYTES).await;
    assert_eq!(fixture.logs.append(&[record(1, "one")]).await.unwrap(), 1);
    let mut other = lock(&path).await;
    assert_eq!(
        fixture.refused(&[record(2, "two")]).await,
        (
            Code::Unavailable,
            "cannot store log records: another process holds a lock on the log store".to_owned()
        )
    );
    assert_eq!(fixture.texts(all()).await, ["one"]);
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    assert_eq!(fixture.append_at_last(&[record(2, "two")]).await, 1);
    assert_eq!(fixture.texts(all()).await, ["one", "two"]);
    assert_eq!(fixture.captured.text().lines().count(), 2, "printed once");
    fixture.finish().await.unwrap();
}

#[tokio::test]
async fn two_sinks_do_not_share_a_file() {
    let folder = Folder::new();
    let path = folder.file("logs.sqlite");
    let first = StoreFixture::start(&path, BYTES).await;
    assert_eq!(first.logs.append(&[record(1, "one")]).await.unwrap(), 1);
    let second = StoreFixture::start(&path, BYTES).await;
    assert_eq!(
        second.refused(&[record(2, "two")]).await,
        (
            Code::Unavailable,
            "cannot store log records: another log sink uses the log store".to_owned()
        )
    );
    assert_eq!(second.texts(all()).await, ["one"], "reading does no harm");
    first.finish().await.unwrap();
    // The second sink takes over when the first one has stopped.
    assert_eq!(second.append_at_last(&[record(2, "two")]).await, 1);
    assert_eq!(second.texts(all()).await, ["one", "two"]);
    second.finish().await.unwrap();
}

/// Moves a database and the files beside it.
fn move_database(from: &Path, to: &Path) {
    for suffix in ["-wal", "-shm", ""] {
        let suffixed = |path: &Path| format!("{}{suffix}", path.display());
        if Path::new(&suffixed(from)).exists() {
            std::fs::rename(suffixed(from), suffixed(to)).unwrap();
        }
    }
}

#[tokio::test]
async fn searches_follow_a_file_that_is_replaced_and_back() {
    let folder = Folder::new();
    let (path, away, other) = (
        folder.file("logs.sqlite"),
        folder.file("away.sqlite"),
        folder.file("other.sqlite"),
    );
    let fixture = StoreFixture::start(&path, BYTES).await;
    assert_eq!(fixture.logs.append(&[record(1, "one")]).await.unwrap(), 1);
    assert_eq!(fixture.texts(all()).await, ["one"]);
    // The database of another program is neither written nor searched.
    move_database(&path, &away);
    let new = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let mut foreign = new.connect().await.unwrap();
    sqlx::query("CREATE TABLE users (name TEXT)")
        .execute(&mut foreign)
        .await
        .unwrap();
    foreign.close().await.unwrap();
    let (code, text) = fixture.refused(&[record(2, "two")]).await;
    assert_eq!(code, Code::Unavailable);
    assert!(
        text.contains("another database and not a log store"),
        "{text}"
    );
    fixture.sink.query(&all()).no_retry().await.unwrap_err();
    move_database(&path, &other);
    move_database(&away, &path);
    assert_eq!(fixture.append_at_last(&[record(3, "three")]).await, 1);
    assert_eq!(fixture.texts(all()).await, ["one", "three"]);
    // Another store, that of another day, without a record in between.
    let second = StoreFixture::start(&away, BYTES).await;
    assert_eq!(
        second
            .logs
            .append(&[record(1, "another day")])
            .await
            .unwrap(),
        1
    );
    second.finish().await.unwrap();
    std::fs::remove_file(&other).unwrap();
    move_database(&path, &other);
    move_database(&away, &path);
    assert_eq!(fixture.texts(all()).await, ["another day"]);
    move_database(&path, &away);
    move_database(&other, &path);
    assert_eq!(fixture.texts(all()).await, ["one", "three"]);
    assert_eq!(fixture.append_at_last(&[record(4, "four")]).await, 1);
    assert_eq!(fixture.texts(all()).await, ["one", "three", "four"]);
}
