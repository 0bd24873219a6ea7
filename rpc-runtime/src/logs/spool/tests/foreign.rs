//! Changes to the files of a spool by other programs and users.

use super::*;

/// Ways to lose segments, each with the number of records that are left of twenty in four segments.
#[test]
fn records_of_removed_files_are_counted() {
    type Loss = fn(&SpoolFolder);
    let losses: [(Loss, usize); 5] = [
        (|folder| fs::remove_dir_all(&folder.0).unwrap(), 0),
        (|folder| fs::remove_file(&folder.segments()[1]).unwrap(), 15),
        (
            |folder| {
                folder
                    .segments()
                    .iter()
                    .for_each(|path| fs::remove_file(path).unwrap());
            },
            0,
        ),
        (
            |folder| {
                let path = &folder.segments()[3];
                fs::remove_file(path).unwrap();
                fs::write(path, "another file").unwrap();
            },
            15,
        ),
        (
            |folder| {
                let session = folder.segments()[0].parent().unwrap().to_owned();
                fs::rename(session, folder.0.join("moved away")).unwrap();
            },
            0,
        ),
    ];
    for (index, (lose, left)) in losses.into_iter().enumerate() {
        let folder = SpoolFolder::new();
        let mut spool = folder.open(16 * 5 * length());
        write(&mut spool, 1..=20);
        assert_eq!(folder.segments().len(), 4, "{index}");
        spool.check_files();
        assert_eq!(spool.take_losses(), Losses::default(), "{index}");
        lose(&folder);
        spool.check_files();
        let losses = spool.take_losses();
        // A new file may have the number of the removed one, and is then one without valid lines.
        assert_eq!(losses.removed + losses.damaged, 20 - left, "{index}");
        assert!(index == 3 || losses.damaged == 0, "{index}");
        spool.check_files_at_end();
        assert_eq!(
            spool.take_losses(),
            Losses::default(),
            "{index}: counted once"
        );
        write(&mut spool, 21..=22);
        assert_eq!(drain(&mut spool).len(), left + 2, "{index}");
        assert_eq!(spool.take_losses(), Losses::default(), "{index}");
    }
}

#[test]
fn records_cut_off_a_file_are_counted() {
    for kept in [0, 2, 7] {
        let folder = SpoolFolder::new();
        let mut spool = folder.open(1 << 20);
        write(&mut spool, 1..=10);
        let file = File::options().write(true).open(&folder.segments()[0]);
        // The last line that is kept is cut in its middle.
        file.unwrap()
            .set_len(kept * length() + length() / 2)
            .unwrap();
        spool.check_files();
        let damaged = usize::try_from(10 - kept).unwrap();
        assert_eq!(spool.take_losses().damaged, damaged);
        write(&mut spool, 11..=11);
        assert_eq!(drain(&mut spool).len(), 11 - damaged);
        assert_eq!(spool.take_losses(), Losses::default());
    }
}

#[test]
fn records_in_memory_are_lost_only_at_the_end() {
    let folder = SpoolFolder::new();
    let mut spool = folder.open(1 << 20);
    write(&mut spool, 1..=10);
    assert_eq!(spool.take(3, usize::MAX).len(), 3);
    fs::remove_dir_all(&folder.0).unwrap();
    spool.check_files();
    let in_flight = Losses {
        in_flight: true,
        ..Losses::default()
    };
    assert_eq!(spool.take_losses(), in_flight);
    assert_eq!(spool.take(2, usize::MAX).len(), 2);
    spool.acknowledge(2);
    spool.check_files_at_end();
    assert_eq!(spool.take_losses().removed, 5);
}

#[test]
fn a_session_whose_lock_was_deleted_locks_again() {
    let folder = SpoolFolder::new();
    let mut spool = folder.open(1 << 20);
    write(&mut spool, 1..=1);
    let session = folder.segments()[0].parent().unwrap().to_owned();
    fs::remove_file(session.join("lock")).unwrap();
    // The next append begins a segment.
    spool.open = None;
    write(&mut spool, 2..=2);
    let mut other = folder.open(1 << 20);
    assert!(other.is_drained(), "the session is not taken over");
    assert!(drain(&mut other).is_empty());
    assert_eq!(drain(&mut spool), [1, 2]);
}

/// A child process has all files of this one between its fork and its exec.
#[test]
fn a_session_ends_though_a_child_inherited_its_lock() {
    let folder = SpoolFolder::new();
    let mut spool = folder.open(1 << 20);
    write(&mut spool, 1..=2);
    let inherited = spool.own.inherited_lock();
    drop(spool);
    let mut next = folder.open(1 << 20);
    assert_eq!(drain(&mut next), [1, 2]);
    drop(inherited);
}

#[cfg(unix)]
#[test]
fn other_files_in_the_folder_are_left_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = SpoolFolder::new();
    let mut spool = folder.open(1 << 20);
    write(&mut spool, 1..=2);
    let session = folder.segments()[0].parent().unwrap().to_owned();
    drop(spool);
    let pipe = |path: &Path| {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
    };
    pipe(&session.join("00000009.jsonl"));
    std::os::unix::fs::symlink("/dev/zero", session.join("00000010.jsonl")).unwrap();
    let huge = File::create(session.join("00000011.jsonl")).unwrap();
    huge.set_len(1 << 40).unwrap();
    // Sessions whose lock is a pipe, and that another user may have written.
    for (name, mode) in [("1", 0o700), ("2", 0o777)] {
        let other = folder.0.join(format!("{name:0>20}"));
        fs::create_dir(&other).unwrap();
        fs::copy(&folder.segments()[0], other.join("00000001.jsonl")).unwrap();
        if name == "1" {
            pipe(&other.join("lock"));
        }
        fs::set_permissions(&other, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut next = folder.open(1 << 20);
    assert_eq!(drain(&mut next), [1, 2]);
    assert_eq!(folder.segments().len(), 5, "all of them are still there");
}

#[cfg(unix)]
#[test]
fn a_directory_that_others_can_write_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = SpoolFolder::new();
    fs::create_dir(&folder.0).unwrap();
    let open = |mode| {
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(mode)).unwrap();
        Spool::open(SpoolDir::named(folder.0.clone()), 1 << 20)
    };
    for mode in [0o777, 0o707] {
        let error = open(mode).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(
            error.to_string().contains("other users can write it"),
            "{error}"
        );
    }
    for mode in [0o755, 0o1777] {
        assert!(open(mode).is_ok(), "{mode:o}");
    }
}

#[test]
fn a_file_in_place_of_the_folder_is_noticed() {
    let folder = SpoolFolder::new();
    let mut spool = folder.open(1 << 20);
    write(&mut spool, 1..=3);
    fs::remove_dir_all(&folder.0).unwrap();
    fs::write(&folder.0, "").unwrap();
    spool.check_files();
    assert_eq!(spool.take_losses().removed, 3);
    let mut lines = Vec::new();
    append_line(&mut lines, &record(spool.epoch(), 4));
    spool.append(&lines, 1, false).unwrap_err();
    fs::remove_file(&folder.0).unwrap();
    write(&mut spool, 4..=4);
    assert_eq!(drain(&mut spool), [4]);
    assert_eq!(spool.take_losses(), Losses::default());
}
