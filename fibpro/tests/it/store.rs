//! The log sink's store in process: deduplication, retention, and storage errors.

use std::io::{self, Seek as _, Write};
use std::path::Path;
use std::process::Command;

use fibpro::api::logsink::{Level, LogSinkClient, Page, QUERY_LIMIT, Query, Record};
use fibpro::service::logsink::{LogStore, LogStoreOptions, PrintQueue, Sink, WriterHandle};
use rpc_runtime::logs::LogsClient;
use rpc_runtime::{Code, RequestId};
use rpc_tests::captured::CapturedWriter;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::process::{Folder, POLL, POLLS, TEST_TIMEOUT, output};

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
        let (store, intake) = LogStore::start(LogStoreOptions {
            path: path.to_owned(),
            bytes,
        })
        .await;
        let captured = CapturedWriter::default();
        let (printer, writing) = PrintQueue::start(captured.clone(), Some(intake)).unwrap();
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

#[tokio::test]
async fn a_damaged_file_is_moved_aside() {
    let folder = Folder::new();
    let path = folder.file("logs.sqlite");
    std::fs::write(&path, "this is no database\n".repeat(1000)).unwrap();
    let fixture = StoreFixture::start(&path, BYTES).await;
    assert_eq!(fixture.logs.append(&[record(1, "one")]).await.unwrap(), 1);
    assert_eq!(fixture.texts(all()).await, ["one"]);
    let aside = std::fs::read_to_string(folder.file("logs.sqlite.corrupt-1")).unwrap();
    assert!(aside.starts_with("this is no database"));
    fixture.finish().await.unwrap();

    // Damage in the middle of the file is noticed as well, and the file gets the next free number.
    let mut file = std::fs::File::options().write(true).open(&path).unwrap();
    file.seek(io::SeekFrom::Start(4096 * 3)).unwrap();
    file.write_all(&[0xa5; 4096 * 4]).unwrap();
    drop(file);
    let fixture = StoreFixture::start(&path, BYTES).await;
    assert_eq!(fixture.logs.append(&[record(2, "two")]).await.unwrap(), 1);
    assert_eq!(fixture.texts(all()).await, ["two"]);
    assert!(folder.file("logs.sqlite.corrupt-2").exists());
    fixture.finish().await.unwrap();
}

#[tokio::test]
async fn damage_while_running_loses_only_stored_records() {
    let folder = Folder::new();
    let path = folder.file("logs.sqlite");
    let fixture = StoreFixture::start(&path, BYTES).await;
    assert_eq!(fixture.logs.append(&[record(1, "one")]).await.unwrap(), 1);
    let after = fixture.page(all()).await.next;
    // Checkpointed, so that no page is cached or still in the WAL.
    let mut other = connect(&path).await;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut other)
        .await
        .unwrap();
    sqlx::query("PRAGMA user_version = 7")
        .execute(&mut other)
        .await
        .unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
    let length = std::fs::metadata(&path).unwrap().len();
    let mut file = std::fs::File::options().write(true).open(&path).unwrap();
    file.seek(io::SeekFrom::Start(4096)).unwrap();
    file.write_all(&vec![0xa5; usize::try_from(length).unwrap() - 4096])
        .unwrap();
    drop(file);
    assert_eq!(fixture.append_at_last(&[record(2, "two")]).await, 1);
    assert!(folder.file("logs.sqlite.corrupt-1").exists());
    // A follower of the old file continues with the records of the new one.
    let query = Query {
        after: Some(after),
        ..all()
    };
    assert_eq!(fixture.texts(query).await, ["two"]);
    assert_eq!(fixture.captured.text().lines().count(), 2);
    fixture.finish().await.unwrap();
}

#[tokio::test]
async fn a_removed_wal_or_file_is_noticed() {
    let folder = Folder::new();
    let path = folder.file("logs.sqlite");
    let fixture = StoreFixture::start(&path, BYTES).await;
    assert_eq!(fixture.logs.append(&[record(1, "one")]).await.unwrap(), 1);
    std::fs::remove_file(folder.file("logs.sqlite-wal")).unwrap();
    assert_eq!(fixture.logs.append(&[record(2, "two")]).await.unwrap(), 1);
    assert_eq!(
        fixture.texts(all()).await,
        ["one", "two"],
        "what was answered is there"
    );
    for ending in ["", "-wal", "-shm"] {
        std::fs::remove_file(folder.file(&format!("logs.sqlite{ending}"))).unwrap();
    }
    assert_eq!(fixture.logs.append(&[record(3, "three")]).await.unwrap(), 1);
    assert_eq!(fixture.texts(all()).await, ["three"]);
    fixture.finish().await.unwrap();
    let fixture = StoreFixture::start(&path, BYTES).await;
    assert_eq!(fixture.texts(all()).await, ["three"]);
    fixture.finish().await.unwrap();
}

#[tokio::test]
async fn an_unusable_folder_is_reported_and_retried() {
    let folder = Folder::new();
    std::fs::write(folder.file("data"), "a file where a folder should be").unwrap();
    let fixture = StoreFixture::start(&folder.file("data").join("logs.sqlite"), BYTES).await;
    assert_eq!(
        fixture.refused(&[record(1, "one")]).await,
        (
            Code::Unavailable,
            "cannot store log records: the log store cannot be opened".to_owned()
        )
    );
    let error = fixture.sink.query(&all()).no_retry().await.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (
            Code::Unavailable,
            "cannot read stored log records: the log store cannot be opened"
        )
    );
    assert_eq!(
        fixture.captured.text().lines().count(),
        1,
        "it prints all the same"
    );
    std::fs::remove_file(folder.file("data")).unwrap();
    assert_eq!(fixture.append_at_last(&[record(1, "one")]).await, 1);
    assert_eq!(fixture.texts(all()).await, ["one"]);
    assert_eq!(fixture.captured.text().lines().count(), 1);
    fixture.finish().await.unwrap();
}

#[tokio::test]
async fn a_failing_sink_reports_its_unstored_records() {
    let folder = Folder::new();
    std::fs::write(folder.file("data"), "").unwrap();
    let path = folder.file("data").join("logs.sqlite");
    let fixture = StoreFixture::start(&path, BYTES).await;
    let records = [record(1, "one"), record(2, "two")];
    assert!(fixture.logs.append(&records).no_retry().await.is_err());
    let error = fixture.finish().await.unwrap_err();
    assert_eq!(error.code(), Code::DataLoss);
    let said = format!(
        "2 log records were not stored: {}: the log store cannot be opened",
        path.display()
    );
    assert!(error.message().starts_with(&said), "{}", error.message());
}

/// A small tmpfs, where the user who runs the tests may mount one.
pub(crate) struct Disk(pub(crate) Folder);

impl Disk {
    pub(crate) fn new(size: &str) -> Result<Self, String> {
        let folder = Folder::new();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", size, "tmpfs"]);
        let output = output(mount.arg(folder.path()));
        if output.status.success() {
            Ok(Self(folder))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn remount(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{options}")]);
        assert!(output(mount.arg(self.0.path())).status.success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        output(Command::new("umount").arg("-l").arg(self.0.path()));
    }
}

#[tokio::test]
async fn a_full_disk_is_reported_and_space_is_reused() {
    let disk = match Disk::new("size=2m") {
        Ok(disk) => disk,
        Err(why) => {
            eprintln!("nothing is tested, since only root may mount a disk: {why}");
            return;
        }
    };
    let fixture = StoreFixture::start(&disk.0.file("logs.sqlite"), BYTES).await;
    assert_eq!(fixture.logs.append(&[record(1, "one")]).await.unwrap(), 1);
    let ballast = disk.0.file("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    let mut accepted = 1;
    let error = loop {
        let next = record(accepted + 1, &"x".repeat(2000));
        match fixture.logs.append(&[next]).no_retry().await {
            Ok(new) => accepted += u64::from(new),
            Err(error) => break error,
        }
        assert!(accepted < 10_000);
    };
    assert_eq!(
        (error.code(), error.message()),
        (
            Code::ResourceExhausted,
            "cannot store log records: the disk of the log store is full"
        )
    );
    let stored_now = fixture.page(all()).await.records;
    assert_eq!(
        stored_now.len() as u64,
        accepted,
        "all that was accepted, and no more"
    );
    std::fs::remove_file(&ballast).unwrap();
    let next = record(accepted + 1, &"x".repeat(2000));
    assert_eq!(fixture.append_at_last(&[next]).await, 1);
    assert_eq!(fixture.page(all()).await.records.len() as u64, accepted + 1);
    assert_eq!(
        fixture.captured.text().lines().count() as u64,
        accepted + 1,
        "each once"
    );
    fixture.finish().await.unwrap();
}

#[tokio::test]
async fn a_read_only_disk_is_reported_and_searchable() {
    let disk = match Disk::new("size=8m") {
        Ok(disk) => disk,
        Err(why) => {
            eprintln!("nothing is tested, since only root may mount a disk: {why}");
            return;
        }
    };
    let path = disk.0.file("logs.sqlite");
    let fixture = StoreFixture::start(&path, BYTES).await;
    assert_eq!(fixture.logs.append(&[record(1, "one")]).await.unwrap(), 1);
    fixture.finish().await.unwrap();
    disk.remount("ro");
    let fixture = StoreFixture::start(&path, BYTES).await;
    assert_eq!(
        fixture.refused(&[record(2, "two")]).await,
        (
            Code::Unavailable,
            "cannot store log records: the log store is read-only".to_owned()
        )
    );
    disk.remount("rw");
    assert_eq!(fixture.append_at_last(&[record(2, "two")]).await, 1);
    assert_eq!(fixture.texts(all()).await, ["one", "two"]);
    fixture.finish().await.unwrap();
}

#[tokio::test]
async fn an_unprinted_record_is_accepted_once_it_is_stored() {
    let folder = Folder::new();
    let fixture = StoreFixture::start(&folder.file("logs.sqlite"), BYTES).await;
    fixture.captured.set_broken(true);
    let records = [record(1, "one"), record(2, "two")];
    assert_eq!(fixture.logs.append(&records).await.unwrap(), 2);
    assert!(fixture.sink.info("three").await.unwrap());
    assert_eq!(fixture.texts(all()).await, ["one", "two", "three"]);
    assert_eq!(fixture.printer.lost(), 3);
    fixture.captured.set_broken(false);
    assert_eq!(fixture.logs.append(&[record(3, "four")]).await.unwrap(), 1);
    // A caller who did not get the response sends its records again.
    assert_eq!(fixture.logs.append(&records).await.unwrap(), 0);
    assert_eq!(fixture.logs.append(&records).await.unwrap(), 0);
    assert_eq!(fixture.texts(all()).await, ["one", "two", "three", "four"]);
    let lines = ["four", "one", "two"].map(|text| format!("[prod_userstore] - {text}\n"));
    assert_eq!(fixture.captured.text(), lines.concat());
    assert_eq!(fixture.printer.lost(), 1);
    fixture.finish().await.unwrap();
}

/// The data folder and the output are on one disk, which is full for some time.
#[tokio::test]
async fn output_and_store_fail_and_return_together() {
    let folder = Folder::new();
    let path = folder.file("logs.sqlite");
    let fixture = StoreFixture::start(&path, BYTES).await;
    assert_eq!(fixture.logs.append(&[record(1, "one")]).await.unwrap(), 1);
    fixture.captured.set_broken(true);
    let mut other = lock(&path).await;
    for _ in 0..2 {
        let (code, _) = fixture
            .refused(&[record(2, "two"), record(3, "three")])
            .await;
        assert_eq!(code, Code::Unavailable);
        assert_eq!(fixture.printer.lost(), 2, "each counts once");
    }
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    fixture.captured.set_broken(false);
    assert_eq!(
        fixture
            .append_at_last(&[record(2, "two"), record(3, "three")])
            .await,
        2
    );
    assert_eq!(fixture.texts(all()).await, ["one", "two", "three"]);
    let lines = ["one", "two", "three"].map(|text| format!("[prod_userstore] - {text}\n"));
    assert_eq!(fixture.captured.text(), lines.concat());
    assert_eq!(fixture.printer.lost(), 0);
    fixture.finish().await.unwrap();
}

/// An output that takes nothing until the test opens it.
struct BlockedWriter(std::sync::mpsc::Receiver<()>, CapturedWriter);

impl Write for BlockedWriter {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // An error once the test has opened it for good.
        let _ = self.0.recv();
        self.1.write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A log sink whose output is blocked, with a queue of `capacity` bytes.
async fn start_blocked(
    folder: &Folder,
    capacity: u32,
) -> (StoreFixture, std::sync::mpsc::Sender<()>) {
    let (store, intake) = LogStore::start(LogStoreOptions {
        path: folder.file("logs.sqlite"),
        bytes: BYTES,
    })
    .await;
    let (open, opened) = std::sync::mpsc::channel();
    let captured = CapturedWriter::default();
    let out = BlockedWriter(opened, captured.clone());
    let (printer, writing) = PrintQueue::with_capacity(out, Some(intake), capacity).unwrap();
    let sink = Sink::new(printer.clone(), Some(store));
    let fixture = StoreFixture {
        logs: LogsClient::local(sink.clone()),
        sink: LogSinkClient::local(sink),
        printer,
        captured,
        writing,
    };
    (fixture, open)
}

#[tokio::test]
async fn an_output_that_blocks_delays_no_storing() {
    let folder = Folder::new();
    let (fixture, open) = start_blocked(&folder, 32 << 20).await;
    for sequence in 1..=20 {
        let stored = fixture.logs.append(&[record(sequence, "x")]).await;
        assert_eq!(stored.unwrap(), 1);
    }
    assert_eq!(fixture.texts(all()).await.len(), 20);
    assert_eq!(
        (fixture.captured.text().as_str(), fixture.printer.lost()),
        ("", 0)
    );
    // All of them are printed once the output takes lines again.
    drop(open);
    let captured = fixture.captured.clone();
    fixture.finish().await.unwrap();
    assert_eq!(captured.text().lines().count(), 20);
}

#[tokio::test]
async fn lines_that_do_not_fit_are_skipped_and_counted() {
    let folder = Folder::new();
    let (fixture, open) = start_blocked(&folder, 10_000).await;
    let text = "x".repeat(1_000);
    for sequence in 1..=20 {
        let stored = fixture.logs.append(&[record(sequence, &text)]).await;
        assert_eq!(stored.unwrap(), 1);
    }
    assert_eq!(fixture.texts(all()).await.len(), 20);
    let lost = fixture.printer.lost();
    assert!((1..20).contains(&lost), "{lost}");
    drop(open);
    let (captured, printer) = (fixture.captured.clone(), fixture.printer.clone());
    for _ in 0..POLLS {
        if captured.text().lines().count() as u64 + lost == 20 {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
    // A record that is sent again is printed if it was skipped, and not stored again.
    assert_eq!(fixture.logs.append(&[record(20, &text)]).await.unwrap(), 0);
    assert_eq!(printer.lost(), lost - 1);
    drop(printer);
    fixture.finish().await.unwrap();
    assert_eq!(captured.text().lines().count() as u64, 21 - lost);
}

#[tokio::test]
async fn the_end_waits_so_long_for_a_blocked_output() {
    let folder = Folder::new();
    let (fixture, _open) = start_blocked(&folder, 32 << 20).await;
    for sequence in 1..=3 {
        let stored = fixture.logs.append(&[record(sequence, "x")]).await;
        assert_eq!(stored.unwrap(), 1);
    }
    drop((fixture.logs, fixture.sink, fixture.printer));
    // The store has all of them, so nothing is lost.
    fixture
        .writing
        .finish(std::time::Duration::from_secs(1))
        .await
        .unwrap();
    let again = StoreFixture::start(&folder.file("logs.sqlite"), BYTES).await;
    assert_eq!(again.texts(all()).await, ["x", "x", "x"]);
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
