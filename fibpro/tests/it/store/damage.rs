//! Files of the store that are damaged, removed or cannot be used.

use std::io::{self, Seek as _, Write as _};

use fibpro::api::logsink::Query;
use rpc_runtime::Code;
use sqlx::Connection as _;

use super::{BYTES, StoreFixture, all, connect, record};
use crate::process::Folder;

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
async fn a_file_that_is_renamed_and_back_misses_no_record() {
    let folder = Folder::new();
    let (path, away) = (folder.file("logs.sqlite"), folder.file("away.sqlite"));
    let fixture = StoreFixture::start(&path, BYTES).await;
    assert_eq!(fixture.logs.append(&[record(1, "one")]).await.unwrap(), 1);
    for sequence in 2..5 {
        std::fs::rename(&path, &away).unwrap();
        let (code, text) = fixture.refused(&[record(sequence, "refused")]).await;
        assert_eq!(code, Code::Unavailable);
        assert!(text.ends_with("was removed or renamed"), "{text}");
        assert!(!path.exists());
        std::fs::rename(&away, &path).unwrap();
        let records = [record(sequence, "repeated")];
        assert_eq!(fixture.append_at_last(&records).await, 1);
    }
    let expected = ["one", "repeated", "repeated", "repeated"];
    assert_eq!(fixture.texts(all()).await, expected);
    // A file that stays away gets a successor.
    std::fs::rename(&path, &away).unwrap();
    assert_eq!(fixture.append_at_last(&[record(5, "new")]).await, 1);
    assert_eq!(fixture.texts(all()).await, ["new"]);
    fixture.finish().await.unwrap();
    // What was stored before is in the file that was renamed.
    let fixture = StoreFixture::start(&away, BYTES).await;
    assert_eq!(fixture.texts(all()).await, expected);
    fixture.finish().await.unwrap();
}

#[tokio::test]
async fn a_wal_without_its_file_is_kept() {
    let folder = Folder::new();
    let (path, wal) = (folder.file("logs.sqlite"), folder.file("logs.sqlite-wal"));
    std::fs::write(&wal, "records of a file that is missing").unwrap();
    let fixture = StoreFixture::start(&path, BYTES).await;
    assert_eq!(fixture.logs.append(&[record(1, "one")]).await.unwrap(), 1);
    let kept = std::fs::read_to_string(folder.file("logs.sqlite.corrupt-1-wal")).unwrap();
    assert_eq!(kept, "records of a file that is missing");
    // The second one does not replace the first one.
    fixture.finish().await.unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&wal, "another").unwrap();
    let fixture = StoreFixture::start(&path, BYTES).await;
    assert!(folder.file("logs.sqlite.corrupt-1-wal").exists());
    assert!(folder.file("logs.sqlite.corrupt-2-wal").exists());
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
