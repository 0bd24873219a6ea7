//! Stores on a disk that is full or read-only.

use std::io::Write as _;
use std::process::Command;

use rpc_runtime::Code;

use super::{BYTES, StoreFixture, all, record};
use crate::process::{Folder, output};

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
