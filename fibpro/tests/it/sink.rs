//! The log sink in process: sources of lines, and records that cannot be printed.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fibpro::api::logsink::{BATCH_LIMIT, Level, LogSinkClient, Record, TEXT_LIMIT};
use fibpro::service::logsink::{PrintQueue, Sink, WriterHandle};
use rpc_runtime::prelude::*;
use rpc_tests::captured::CapturedWriter;
use tokio::sync::mpsc;

const TEST_TIMEOUT: Duration = Duration::from_secs(60);

fn sink() -> (LogSinkClient, CapturedWriter, WriterHandle) {
    let captured = CapturedWriter::default();
    let (printer, writing) = PrintQueue::start(captured.clone(), None).unwrap();
    (
        LogSinkClient::local(Sink::new(printer, None)),
        captured,
        writing,
    )
}

fn record(text: &str) -> Record {
    let source = "userstore@prod/a1".parse().unwrap();
    let time = "2026-11-22T12:25:34.021Z".parse().unwrap();
    Record::new(source, time, Level::Info, text)
}

#[tokio::test]
async fn d03_each_level_has_a_shorthand() {
    let (logsink, captured, _writing) = sink();
    assert!(logsink.debug("a").await.unwrap());
    assert!(logsink.info("b").await.unwrap());
    assert!(logsink.warn("c").await.unwrap());
    assert!(logsink.error("d").await.unwrap());
    assert!(!logsink.info("").await.unwrap());
    let texts: Vec<_> = captured
        .text()
        .lines()
        .map(|line| line.chars().last().unwrap())
        .collect();
    assert_eq!(texts, ['a', 'b', 'c', 'd']);
}

/// A service that writes log lines.
#[rpc_service(package = "test.v1")]
trait Writes {
    async fn twice(&self) -> Result<String>;
}

struct Writer(LogSinkClient);

impl Writes for Writer {
    async fn twice(&self) -> Result<String> {
        self.0.info("first").await?;
        self.0.info("second").await?;
        Ok(Context::current().request_id().to_owned())
    }
}

#[tokio::test]
async fn g02_the_lines_of_a_request_have_id_and_server() {
    let (logsink, captured, _writing) = sink();
    let writer = Server::new("userstore")
        .environment("dev")
        .add(WritesServer::new(Writer(logsink)));
    let writer = WritesClient::with_client(writer.into_local_client().unwrap());
    let id = writer.twice().await.unwrap();
    let other = writer.twice().await.unwrap();
    assert_eq!(
        captured.text(),
        format!(
            "[dev_userstore] {id} first\n[dev_userstore] {id} second\n\
             [dev_userstore] {other} first\n[dev_userstore] {other} second\n"
        )
    );
}

#[tokio::test]
async fn a_batch_has_a_limit_and_a_text_too() {
    let (logsink, captured, _writing) = sink();
    assert_eq!(logsink.recv_logs(&[]).await.unwrap(), 0);
    let error = logsink
        .recv_logs(&vec![record("x"); BATCH_LIMIT + 1])
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(
        error.message(),
        "records: 10001 records; send at most 10000 in one batch"
    );
    assert_eq!(captured.text(), "");
    assert_eq!(
        logsink
            .recv_logs(&vec![record("x"); BATCH_LIMIT])
            .await
            .unwrap(),
        10_000
    );
    assert_eq!(captured.text().lines().count(), BATCH_LIMIT);
    assert!(logsink.info(&"y".repeat(TEXT_LIMIT + 7)).await.unwrap());
    assert!(captured.text().ends_with("y… (7 more bytes)\n"));
}

/// A disk on which some bytes are free.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<(String, usize)>>);

impl Write for Disk {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut disk = self.0.lock().unwrap();
        let count = text.len().min(disk.1);
        if count == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.1 -= count;
        disk.0
            .push_str(std::str::from_utf8(&text[..count]).unwrap());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn numbered(sequence: u64) -> Record {
    let mut record = record(&format!("text {sequence}"));
    (record.epoch, record.sequence) = (Some(1), Some(sequence));
    record
}

#[tokio::test]
async fn each_line_is_written_once_though_the_disk_was_full() {
    let line = "[prod_userstore] - text 1\n";
    // The disk is full at the end of a line, in its middle, and before its line feed.
    for (free, lost) in [
        (2 * line.len(), 3),
        (2 * line.len() + 9, 3),
        (3 * line.len() - 1, 2),
    ] {
        let disk = Disk::default();
        disk.0.lock().unwrap().1 = free;
        let (printer, writing) = PrintQueue::start(disk.clone(), None).unwrap();
        let logsink = LogSinkClient::local(Sink::new(printer.clone(), None));
        let records: Vec<_> = (1..=5).map(numbered).collect();
        // As often as a caller tries, the count is right.
        for _ in 0..3 {
            let error = logsink.recv_logs(&records).no_retry().await.unwrap_err();
            assert_eq!(error.code(), Code::Unavailable);
            assert_eq!(printer.lost(), lost);
        }
        disk.0.lock().unwrap().1 = usize::MAX;
        assert_eq!(logsink.recv_logs(&records).await.unwrap(), 5);
        assert_eq!(printer.lost(), 0);
        let text = disk.0.lock().unwrap().0.clone();
        let mut lines: Vec<_> = text.lines().collect();
        if free == 2 * line.len() + 9 {
            // A part of a line, ended.
            assert!("[prod_userstore] - text 3".starts_with(lines.remove(2)));
        }
        let expected = [1, 2, 3, 4, 5].map(|n| format!("[prod_userstore] - text {n}"));
        assert_eq!(lines, expected);
        drop((logsink, printer));
        writing.finish(TEST_TIMEOUT).await.unwrap();
    }
}

/// A writer that reports when a write begins, and waits for the test to complete it.
struct Gate {
    begun: mpsc::UnboundedSender<String>,
    outcomes: mpsc::UnboundedReceiver<io::Result<()>>,
}

impl Write for Gate {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.begun
            .send(String::from_utf8(text.to_vec()).unwrap())
            .unwrap();
        self.outcomes
            .blocking_recv()
            .unwrap_or(Ok(()))
            .map(|()| text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts a sink with a queue of `capacity` bytes, whose writes the test completes.
struct Gated {
    logsink: LogSinkClient,
    printer: PrintQueue,
    begun: mpsc::UnboundedReceiver<String>,
    end: mpsc::UnboundedSender<io::Result<()>>,
    writing: WriterHandle,
}

fn gated(capacity: u32) -> Gated {
    let (sender, begun) = mpsc::unbounded_channel();
    let (end, outcomes) = mpsc::unbounded_channel();
    let (printer, writing) = PrintQueue::with_capacity(
        Gate {
            begun: sender,
            outcomes,
        },
        None,
        capacity,
    )
    .unwrap();
    Gated {
        logsink: LogSinkClient::local(Sink::new(printer.clone(), None)),
        printer,
        begun,
        end,
        writing,
    }
}

#[tokio::test]
async fn a_call_returns_only_after_its_line_is_written() {
    let mut gated = gated(1 << 20);
    let mut call = gated.logsink.info("x");
    tokio::select! {
        response = &mut call => panic!("{response:?}"),
        line = gated.begun.recv() => assert!(line.unwrap().ends_with(" x\n")),
    }
    gated.end.send(Ok(())).unwrap();
    assert!(call.await.unwrap());
}

#[tokio::test]
async fn g10_the_queue_is_bounded_with_a_retry_hint() {
    let mut gated = gated(1000);
    let first = tokio::spawn(gated.logsink.info("first"));
    gated.begun.recv().await.unwrap();
    let error = gated.logsink.info(&"x".repeat(600)).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert_eq!(
        error.as_error().retry_after(),
        Some(Duration::from_millis(500))
    );
    drop(gated.end);
    assert!(first.await.unwrap().unwrap());
    // The queue has space again. A record larger than the whole queue is accepted when the queue is
    // empty.
    assert!(gated.logsink.info(&"x".repeat(2000)).await.unwrap());
}

#[tokio::test]
async fn a_record_whose_caller_went_away_is_printed() {
    let mut gated = gated(1 << 20);
    let first = tokio::spawn(gated.logsink.info("first"));
    gated.begun.recv().await.unwrap();
    let second = gated.printer.accept(vec![record("second")]);
    tokio::select! {
        biased;
        response = second => panic!("{response:?}"),
        // Polled once, and dropped.
        () = async {} => {}
    }
    gated.end.send(Ok(())).unwrap();
    assert!(first.await.unwrap().unwrap());
    assert_eq!(
        gated.begun.recv().await.unwrap(),
        "[prod_userstore] - second\n"
    );
}

#[tokio::test]
async fn what_waits_is_written_before_the_end() {
    let mut gated = gated(1 << 20);
    let calls: Vec<_> = ["a", "b", "c"]
        .map(|text| tokio::spawn(gated.logsink.info(text)))
        .into();
    let mut printed = gated.begun.recv().await.unwrap();
    drop((gated.logsink, gated.printer, gated.end));
    for call in calls {
        assert!(call.await.unwrap().unwrap());
    }
    gated.writing.finish(TEST_TIMEOUT).await.unwrap();
    while let Some(text) = gated.begun.recv().await {
        printed.push_str(&text);
    }
    assert_eq!(printed.lines().count(), 3, "{printed}");
}

#[tokio::test]
async fn shutdown_ends_at_its_timeout() {
    let mut gated = gated(1 << 20);
    let call = tokio::spawn(gated.logsink.info("x"));
    gated.begun.recv().await.unwrap();
    let error = gated
        .writing
        .finish(Duration::from_millis(5))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    drop(gated.end);
    assert!(call.await.unwrap().unwrap());
}

#[tokio::test]
async fn without_a_store_a_failed_write_fails_the_call() {
    let mut gated = gated(1 << 20);
    gated
        .end
        .send(Err(io::ErrorKind::StorageFull.into()))
        .unwrap();
    let error = gated.logsink.info("a").await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(error.message(), "cannot write log lines: no storage space");
    gated
        .end
        .send(Err(io::ErrorKind::StorageFull.into()))
        .unwrap();
    assert!(
        gated
            .logsink
            .recv_logs(&[record("b"), record("c")])
            .await
            .is_err()
    );
    assert_eq!(gated.printer.lost(), 3);
    drop(gated.end);
    assert!(gated.logsink.info("d").await.unwrap());
    assert!(gated.logsink.info("e").await.unwrap());
    let (a, b, d, e) = (
        gated.begun.recv().await,
        gated.begun.recv().await,
        gated.begun.recv().await,
        gated.begun.recv().await,
    );
    // Nothing of the failed writes is in the output, so no line has to be ended.
    for text in [a, b, d, e] {
        assert!(text.unwrap().starts_with('['));
    }
    drop((gated.logsink, gated.printer));
    let error = gated.writing.finish(TEST_TIMEOUT).await.unwrap_err();
    assert_eq!(error.message(), "3 records could not be written to the log");
}
