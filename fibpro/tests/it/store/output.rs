//! Stores beside an output that fails or is blocked.

use std::io::{self, Write};
use std::sync::mpsc;
use std::time::Duration;

use fibpro::service::logsink::PrintQueue;
use rpc_runtime::Code;
use rpc_tests::captured::CapturedWriter;

use super::{BYTES, StoreFixture, all, lock, record};
use crate::process::{Folder, POLL, POLLS};

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
struct BlockedWriter(mpsc::Receiver<()>, CapturedWriter);

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
async fn start_blocked(folder: &Folder, capacity: u32) -> (StoreFixture, mpsc::Sender<()>) {
    let (open, opened) = mpsc::channel();
    let print = |captured, intake| {
        let out = BlockedWriter(opened, captured);
        PrintQueue::with_capacity(out, Some(intake), capacity)
    };
    let path = folder.file("logs.sqlite");
    let fixture = StoreFixture::start_with(&path, BYTES, print).await;
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
    let ended = fixture.writing.finish(Duration::from_secs(1)).await;
    ended.unwrap();
    let again = StoreFixture::start(&folder.file("logs.sqlite"), BYTES).await;
    assert_eq!(again.texts(all()).await, ["x", "x", "x"]);
}
