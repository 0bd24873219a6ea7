use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use rpc_runtime::Client;
use rpc_runtime::logs::{LogExporter, Logs, LogsServer, Record};
use rpc_runtime::prelude::*;
use rpc_tests::Running;
use rpc_tests::folder::Folder;
use tokio::sync::mpsc;
use tracing_subscriber::layer::SubscriberExt as _;

use super::{expect, mask, mask_all};

#[test]
fn records_as_json() {
    let mut shown = String::new();
    for json in [
        r#"{"source":"userstore@prod/127.0.0.1:9003","epoch":1764000000000000,"sequence":17,"request_id":"r-1","time":"2026-11-22T12:25:34.021Z","level":"warn","target":"shop::till","text":"a \"b\"\n\u001b ü"}"#,
        r#"{"source":"a@prod/1","time":"2026-11-22T12:25:34Z","text":""}"#,
        r#"{"source":"a@prod/1","requestId":"r-2","time":"2026-11-22T13:25:34.123456789+01:00","level":"error","text":"x","later":1}"#,
        r#"{"source":"a@prod/1","time":"2026-11-22T12:25:34Z","level":"debug","text":"x"}"#,
        r#"{"source":"a@prod/1","time":"2026-11-22T12:25:34Z","level":"trace","text":"x"}"#,
        r#"{"source":"a@prod/1","time":"2026-11-22","text":"x"}"#,
        r#"{"source":"a@prod/1","time":"2026-11-22T12:25:34Z"}"#,
        r#"{"source":"a","time":"2026-11-22T12:25:34Z","text":"x"}"#,
    ] {
        let read = match serde_json::from_str::<Record>(json) {
            Ok(record) => serde_json::to_string(&record).unwrap(),
            Err(_) => "refused".to_owned(),
        };
        writeln!(shown, "{json}\n  {read}").unwrap();
    }
    expect("log_records.txt", &shown);
}

/// Returns the paths below a folder, sorted; folders end with `/`.
fn paths(folder: &Path, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(paths(&entry.path(), &format!("{name}/")));
            found.push(name + "/");
        } else {
            found.push(name);
        }
    }
    found.sort();
    found
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 * (sum & 1))
        })
    })
}

#[tokio::test]
async fn a_spool_file_as_it_is_written() {
    let folder = Folder::missing();
    // No server listens there.
    let client = Client::new("http://127.0.0.1:1").unwrap();
    let exporter = LogExporter::builder(client)
        .source("a@dev/1".parse().unwrap())
        .spool(folder.path())
        .start()
        .unwrap();
    let subscriber = tracing_subscriber::registry().with(exporter.layer());
    tracing::subscriber::with_default(subscriber, || {
        tracing::warn!(target: "shop", n = 7, "sold \"out\"");
    });
    exporter.shutdown(Duration::ZERO).await;

    let found = paths(folder.path(), "");
    let session = found.iter().find(|path| path.len() == 21).unwrap();
    let epoch = session.trim_end_matches('/').trim_start_matches('0');
    let mut shown = found
        .join("\n")
        .replace(session, "{20 digits of the epoch}/")
        + "\n";
    let remembered = std::fs::read_to_string(folder.path().join("epoch")).unwrap();
    shown += &format!("epoch: {}\n", remembered.replace(epoch, "{epoch}"));
    let segment = found.iter().find(|path| path.ends_with(".jsonl")).unwrap();
    let lines = std::fs::read_to_string(folder.path().join(segment)).unwrap();
    let line = lines.strip_suffix('\n').unwrap();
    let (sum, json) = line.split_once(' ').unwrap();
    assert_eq!(
        sum,
        format!("{:08x}", crc32(json.as_bytes())),
        "CRC-32, as of zip"
    );
    let json = json
        .replace(epoch, "{epoch}")
        .replace("\"{epoch}\"", "{epoch}");
    shown += &format!("{{8 digits of CRC-32}} {}\n", mask(&json, "time"));
    expect("spool.txt", &shown);
}

struct Sink(mpsc::UnboundedSender<Record>);

impl Logs for Sink {
    async fn append(&self, records: &[Record]) -> Result<u32> {
        for record in records {
            self.0.send(record.clone()).unwrap();
        }
        Ok(u32::try_from(records.len()).unwrap())
    }
}

/// Files left by another version: the second line is damaged, the last one is incomplete.
#[tokio::test]
async fn a_spool_file_as_it_is_read() {
    let folder = Folder::missing();
    let session = folder.file("00001764000000000000");
    std::fs::create_dir_all(&session).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("pinned/spool_segment.jsonl");
    std::fs::copy(golden, session.join("00000001.jsonl")).unwrap();
    let (sender, mut records) = mpsc::unbounded_channel();
    let running = Running::start(Server::new("sink").add(LogsServer::new(Sink(sender)))).await;
    let exporter = LogExporter::builder(Client::new(&running.url()).unwrap())
        .source("a@dev/1".parse().unwrap())
        .spool(folder.path())
        .start()
        .unwrap();
    let mut shown = String::new();
    for _ in 0..2 {
        let record = records.recv().await.unwrap();
        shown += &(serde_json::to_string(&record).unwrap() + "\n");
    }
    let status = exporter.shutdown(Duration::from_secs(30)).await;
    while let Ok(record) = records.try_recv() {
        // The report of the damage is our own record, and its text may change.
        let json = serde_json::to_string(&record).unwrap();
        shown += &mask_all(&json, &["epoch", "time", "text"]);
        shown.push('\n');
    }
    writeln!(shown, "dropped: {}", status.dropped.total()).unwrap();
    expect("spool_read.txt", &shown);
}
