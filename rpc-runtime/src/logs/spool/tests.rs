use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::logs::Level;

mod foreign;

/// A folder that is deleted after the test.
struct SpoolFolder(PathBuf);

impl SpoolFolder {
    fn new() -> Self {
        let name = format!("rpc-spool-{}-{:x}", std::process::id(), fastrand::u64(..));
        Self(std::env::temp_dir().join(name))
    }

    fn open(&self, limit: u64) -> Spool {
        let mut spool = Spool::open(SpoolDir::named(self.0.clone()), limit).unwrap();
        spool.recover();
        spool
    }

    /// Returns the segment files, oldest first.
    fn segments(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for session in fs::read_dir(&self.0).unwrap() {
            let session = session.unwrap().path();
            if session.is_dir() {
                let files = fs::read_dir(session).unwrap();
                found.extend(files.map(|file| file.unwrap().path()).filter(|path| {
                    path.extension()
                        .is_some_and(|extension| extension == "jsonl")
                }));
            }
        }
        found.sort();
        found
    }
}

impl Drop for SpoolFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn record(epoch: u64, sequence: u64) -> Record {
    Record {
        source: "a@dev/1".parse().unwrap(),
        epoch: Some(epoch),
        sequence: Some(sequence),
        request_id: None,
        time: "2026-11-22T12:25:34.021Z".parse().unwrap(),
        level: Level::Info,
        target: "test".to_owned(),
        text: format!("line\n{sequence}"),
    }
}

fn write(spool: &mut Spool, numbers: impl IntoIterator<Item = u64>) {
    let epoch = spool.epoch();
    for number in numbers {
        let mut lines = Vec::new();
        append_line(&mut lines, &record(epoch, number));
        spool.append(&lines, 1, false).unwrap();
    }
}

/// Takes and acknowledges everything.
fn drain(spool: &mut Spool) -> Vec<u64> {
    let mut all = Vec::new();
    loop {
        let taken = spool.take(3, usize::MAX);
        if taken.is_empty() {
            return all;
        }
        all.extend(taken.iter().map(|record| record.sequence.unwrap()));
        spool.acknowledge(taken.len());
    }
}

fn length() -> u64 {
    let mut lines = Vec::new();
    append_line(&mut lines, &record(now(), 1));
    lines.len() as u64
}

#[test]
fn records_are_read_in_order_and_then_deleted() {
    let folder = SpoolFolder::new();
    let mut spool = folder.open(1 << 20);
    assert!(spool.is_drained());
    write(&mut spool, 1..=10);
    assert_eq!(spool.take(2, usize::MAX).len(), 2);
    // Appended while records are in flight.
    write(&mut spool, 11..=12);
    spool.acknowledge(2);
    assert_eq!(drain(&mut spool), (3..=12).collect::<Vec<_>>());
    assert_eq!((spool.bytes(), folder.segments()), (0, Vec::new()));
    assert_eq!(spool.take_losses(), Losses::default());
    write(&mut spool, 13..=13);
    assert_eq!(drain(&mut spool), [13]);
}

#[test]
fn a_batch_is_limited_by_bytes_but_never_empty() {
    let folder = SpoolFolder::new();
    let mut spool = folder.open(1 << 20);
    write(&mut spool, 1..=5);
    assert_eq!(spool.take(100, 0).len(), 1);
    assert_eq!(spool.take(100, "line\n2".len() + 1).len(), 2);
}

#[test]
fn records_in_flight_are_read_again_only_after_a_kill() {
    let folder = SpoolFolder::new();
    let mut spool = folder.open(1 << 20);
    let mut lines = Vec::new();
    append_line(&mut lines, &record(spool.epoch(), 1));
    spool.append(&lines, 1, true).unwrap();
    write(&mut spool, 2..=3);
    assert!(!spool.is_drained());
    spool.acknowledge(1);
    assert_eq!(drain(&mut spool), [2, 3]);

    spool.append(&lines, 1, true).unwrap();
    assert!(spool.is_drained());
    drop(spool);
    assert_eq!(drain(&mut folder.open(1 << 20)), [1]);
}

#[test]
fn a_full_spool_drops_and_counts_the_oldest_records() {
    let folder = SpoolFolder::new();
    let limit = 20 * length();
    let mut spool = folder.open(limit);
    write(&mut spool, 1..=100);
    assert!(spool.bytes() <= limit, "{} of {limit}", spool.bytes());
    let losses = spool.take_losses();
    let left = drain(&mut spool);
    assert_eq!(losses.evicted + left.len(), 100);
    assert!(
        left.len() >= 17,
        "a sixteenth is evicted at a time: {left:?}"
    );
    assert!(left.into_iter().eq(losses.evicted as u64 + 1..=100));
}

#[test]
fn evicted_records_in_flight_are_not_counted() {
    let folder = SpoolFolder::new();
    let mut spool = folder.open(32 * length());
    write(&mut spool, 1..=4);
    let taken = spool.take(1, usize::MAX);
    assert_eq!(taken.len(), 1);
    write(&mut spool, 5..=60);
    let losses = spool.take_losses();
    assert!(losses.in_flight);
    let left = drain(&mut spool);
    assert_eq!(1 + losses.evicted + left.len(), 60);
}

#[test]
fn an_earlier_session_is_sent_first() {
    let folder = SpoolFolder::new();
    let mut first = folder.open(1 << 20);
    let earlier = first.epoch();
    write(&mut first, 1..=3);
    first.take(1, usize::MAX);
    first.acknowledge(1);
    // As after a kill: the spool is not closed.
    drop(first);
    let mut second = folder.open(1 << 20);
    assert!(second.epoch() > earlier);
    write(&mut second, 101..=102);
    // The first record was acknowledged before the kill and is sent again with the same numbers.
    let taken = second.take(10, usize::MAX);
    let of = |record: &Record| (record.epoch.unwrap(), record.sequence.unwrap());
    assert_eq!(
        taken.iter().map(of).collect::<Vec<_>>(),
        [(earlier, 1), (earlier, 2), (earlier, 3)]
    );
    assert_eq!(taken[0].text, "line\n1");
    second.acknowledge(3);
    assert_eq!(drain(&mut second), [101, 102]);
    second.close();
    let left: Vec<_> = fs::read_dir(&folder.0).unwrap().collect();
    assert_eq!(left.len(), 1, "only the file with the epoch: {left:?}");
}

#[test]
fn the_epoch_grows_when_the_clock_is_set_back() {
    let folder = SpoolFolder::new();
    let epoch = folder.open(1 << 20).epoch();
    let ahead = epoch + 3_600_000_000;
    fs::write(folder.0.join("epoch"), ahead.to_string()).unwrap();
    assert_eq!(folder.open(1 << 20).epoch(), ahead + 1);
}

#[test]
fn a_running_session_is_not_taken_over() {
    let folder = SpoolFolder::new();
    let mut living = folder.open(1 << 20);
    write(&mut living, 1..=3);
    let other = folder.open(1 << 20);
    assert_ne!(living.epoch(), other.epoch());
    assert!(other.is_drained());
    assert_eq!(drain(&mut living), [1, 2, 3]);
    other.close();
}

#[test]
fn torn_and_damaged_lines_are_skipped_and_counted() {
    let folder = SpoolFolder::new();
    let mut spool = folder.open(1 << 20);
    write(&mut spool, 1..=5);
    drop(spool);
    let path = &folder.segments()[0];
    let mut content = fs::read(path).unwrap();
    let line = content.len() / 5;
    // Flips a bit of the second record and cuts off the last one.
    content[line + line / 2] ^= 1;
    content.truncate(content.len() - 7);
    fs::write(path, &content).unwrap();
    let mut spool = folder.open(1 << 20);
    assert_eq!(drain(&mut spool), [1, 3, 4]);
    assert_eq!(spool.take_losses().damaged, 2);
    assert_eq!(folder.segments(), Vec::<PathBuf>::new());
}

#[test]
fn a_file_of_garbage_counts_as_one_damaged_line() {
    let folder = SpoolFolder::new();
    let mut spool = folder.open(1 << 20);
    write(&mut spool, 1..=1);
    drop(spool);
    let path = &folder.segments()[0];
    fs::write(path.with_file_name("00000000.jsonl"), [0; 4096]).unwrap();
    let mut spool = folder.open(1 << 20);
    assert_eq!(drain(&mut spool), [1]);
    assert_eq!(spool.take_losses().damaged, 1);
}

#[test]
fn damage_in_acknowledged_records_loses_no_others() {
    let folder = SpoolFolder::new();
    let mut spool = folder.open(1 << 20);
    let mut lines = Vec::new();
    for number in 1..=3 {
        append_line(&mut lines, &record(spool.epoch(), number));
    }
    spool.append(&lines, 3, true).unwrap();
    write(&mut spool, 4..=5);
    spool.acknowledge(3);
    let path = &folder.segments()[0];
    let mut content = fs::read(path).unwrap();
    content[lines.len() / 2] ^= 1;
    fs::write(path, &content).unwrap();
    assert_eq!(drain(&mut spool), [4, 5]);
    assert_eq!(spool.take_losses(), Losses::default());
    assert_eq!(folder.segments(), Vec::<PathBuf>::new());
}

#[test]
fn a_segment_that_is_truncated_meanwhile_is_counted() {
    let folder = SpoolFolder::new();
    let mut spool = folder.open(1 << 20);
    let mut lines = Vec::new();
    append_line(&mut lines, &record(spool.epoch(), 1));
    spool.append(&lines, 1, true).unwrap();
    write(&mut spool, 2..=3);
    spool.acknowledge(1);
    fs::write(&folder.segments()[0], "").unwrap();
    assert_eq!(drain(&mut spool), Vec::<u64>::new());
    assert_eq!(spool.take_losses().damaged, 2);
    write(&mut spool, 4..=5);
    assert_eq!(drain(&mut spool), [4, 5]);
}

#[test]
fn an_earlier_session_counts_towards_the_limit() {
    let folder = SpoolFolder::new();
    let mut spool = folder.open(160 * length());
    write(&mut spool, 1..=100);
    drop(spool);
    let limit = 50 * length();
    let mut spool = folder.open(limit);
    let losses = spool.take_losses().evicted;
    assert!(spool.bytes() <= limit);
    let left = drain(&mut spool);
    assert_eq!(losses + left.len(), 100);
    assert!(
        left.len() >= 35,
        "segments of about ten records are evicted: {left:?}"
    );
}

#[test]
fn a_deleted_directory_is_created_again() {
    let folder = SpoolFolder::new();
    let mut spool = folder.open(1 << 20);
    fs::remove_dir_all(&folder.0).unwrap();
    write(&mut spool, 1..=2);
    assert_eq!(drain(&mut spool), [1, 2]);
}

#[cfg(unix)]
#[test]
fn a_directory_that_others_can_enter_is_rejected() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = SpoolFolder::new();
    fs::create_dir(&folder.0).unwrap();
    let check = |mode| {
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(mode)).unwrap();
        directory::check_private(&folder.0)
    };
    check(0o700).unwrap();
    for open in [0o750, 0o707, 0o777] {
        let error = check(open).unwrap_err().to_string();
        assert!(
            error.contains("not a directory of this user only"),
            "{error}"
        );
    }
    let link = folder.0.join("link");
    std::os::unix::fs::symlink(std::env::temp_dir(), &link).unwrap();
    directory::check_private(&link).unwrap_err();
}

#[cfg(unix)]
#[test]
fn files_are_readable_by_the_user_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = SpoolFolder::new();
    let mut spool = folder.open(1 << 20);
    write(&mut spool, 1..=1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let segment = &folder.segments()[0];
    assert_eq!(mode(segment), 0o600);
    assert_eq!(mode(segment.parent().unwrap()), 0o700);
}
