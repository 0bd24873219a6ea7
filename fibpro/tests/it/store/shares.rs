//! The space of the store, divided among sources and levels.

use std::path::Path;

use fibpro::api::logsink::{Level, Record};
use sqlx::Connection as _;

use super::{StoreFixture, connect, record, size};
use crate::process::Folder;

/// Size of the store, enough for about 2,200 of these records.
const BYTES: u64 = 4 << 20;

/// Returns records of one kind, of 1 kB each.
fn many(source: &str, level: Level, text: &str, count: usize) -> Vec<Record> {
    let mut one = record(0, &format!("{text} {}", "x".repeat(1000)));
    one.source = source.parse().unwrap();
    one.level = level;
    (one.epoch, one.sequence) = (None, None);
    vec![one; count]
}

async fn append(fixture: &StoreFixture, records: &[Record]) {
    for batch in records.chunks(100) {
        fixture.logs.append(batch).await.unwrap();
    }
}

/// Returns the number of records with this text.
async fn found(path: &Path, text: &str) -> i64 {
    let mut connection = connect(path).await;
    let found = sqlx::query_scalar("SELECT count(*) FROM records WHERE text LIKE ? || ' %'");
    let found = found.bind(text).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    found
}

const SHOP: &str = "gatekeeper@prod/a1";
const USERS: &str = "userstore@prod/a1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn free_lines_do_not_evict_lines_about_credit() {
    let folder = Folder::new();
    let path = folder.file("logs.sqlite");
    let fixture = StoreFixture::start(&path, BYTES).await;
    append(&fixture, &many(USERS, Level::Info, "credit", 100)).await;
    // Five times the size of the store.
    for _ in 0..4 {
        append(&fixture, &many(SHOP, Level::Warn, "free", 3_000)).await;
        assert_eq!(found(&path, "credit").await, 100);
    }
    assert!(size(&path) <= BYTES, "{}", size(&path));
    // The rest of the space is theirs.
    assert!(found(&path, "free").await > 1_000);
    fixture.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn levels_and_environments_have_own_shares() {
    let folder = Folder::new();
    let path = folder.file("logs.sqlite");
    let fixture = StoreFixture::start(&path, BYTES).await;
    append(&fixture, &many(USERS, Level::Warn, "delayed", 100)).await;
    let dev = many("userstore@dev/a1", Level::Info, "dev", 100);
    append(&fixture, &dev).await;
    for instance in 0..4 {
        // Other instances of a server belong to the same share.
        let source = format!("userstore@prod/b{instance}");
        append(&fixture, &many(&source, Level::Info, "credit", 3_000)).await;
    }
    assert_eq!(found(&path, "delayed").await, 100);
    assert_eq!(found(&path, "dev").await, 100);
    assert!(size(&path) <= BYTES, "{}", size(&path));
    fixture.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinds_that_fill_the_store_share_it_equally() {
    let folder = Folder::new();
    let path = folder.file("logs.sqlite");
    let fixture = StoreFixture::start(&path, BYTES).await;
    append(&fixture, &many(USERS, Level::Info, "credit", 3_000)).await;
    for _ in 0..40 {
        append(&fixture, &many(SHOP, Level::Info, "free", 100)).await;
    }
    let (credit, free) = (found(&path, "credit").await, found(&path, "free").await);
    assert!(credit.abs_diff(free) < 600, "{credit} and {free}");
    fixture.finish().await.unwrap();
    // The shares outlive the process.
    let fixture = StoreFixture::start(&path, BYTES).await;
    append(&fixture, &many(SHOP, Level::Info, "free", 3_000)).await;
    let kept = found(&path, "credit").await;
    assert!(kept > 400, "{credit} and {kept}");
    fixture.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_an_earlier_version_go_first() {
    let folder = Folder::new();
    let path = folder.file("logs.sqlite");
    let fixture = StoreFixture::start(&path, BYTES).await;
    append(&fixture, &many(USERS, Level::Info, "old", 300)).await;
    fixture.finish().await.unwrap();
    let mut connection = connect(&path).await;
    for sql in ["UPDATE records SET share = 0", "DELETE FROM shares"] {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    let fixture = StoreFixture::start(&path, BYTES).await;
    append(&fixture, &many(USERS, Level::Info, "new", 500)).await;
    assert_eq!(found(&path, "old").await, 300);
    for _ in 0..40 {
        append(&fixture, &many(SHOP, Level::Info, "free", 100)).await;
    }
    assert_eq!(found(&path, "old").await, 0);
    assert_eq!(found(&path, "new").await, 500);
    fixture.finish().await.unwrap();
}
