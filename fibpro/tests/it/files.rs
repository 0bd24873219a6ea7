//! Files that others can write, that are not regular or too large, and byte order marks.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::process::{Ended, Folder, LogSink, command, fibpro, logsink, make_pipe, output};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Gives a file to another user. Returns false if this user may not.
fn give_away(path: &Path) -> bool {
    std::os::unix::fs::chown(path, Some(65_534), None).is_ok()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Files that must not be read, each with the reason that is reported. `content` is valid.
#[allow(clippy::print_stderr, reason = "reports what is skipped")]
fn bad_files(folder: &Folder, content: &str) -> Vec<(PathBuf, &'static str)> {
    let file = |name: &str, mode| {
        let path = folder.file(name);
        fs::write(&path, content).unwrap();
        set_mode(&path, mode);
        path
    };
    let pipe = folder.file("pipe");
    make_pipe(&pipe);
    let directory = folder.file("directory");
    fs::create_dir(&directory).unwrap();
    let huge = file("huge", 0o600);
    File::options()
        .write(true)
        .open(&huge)
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let link = folder.file("link");
    std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
    let open = folder.file("open");
    fs::create_dir(&open).unwrap();
    let within = open.join("file");
    fs::write(&within, content).unwrap();
    set_mode(&open, 0o777);
    let mut files = vec![
        (
            "/dev/zero".into(),
            "it is a device, expected a regular file",
        ),
        (link, "it is a device, expected a regular file"),
        (pipe, "it is a pipe, expected a regular file"),
        (directory, "it is a directory, expected a regular file"),
        (huge, "it is larger than "),
        (
            file("others write", 0o602),
            "it has mode 602, so other users can write it",
        ),
        (
            file("all write", 0o666),
            "it has mode 666, so other users can write it",
        ),
        (within, "has mode 777, so other users can write it"),
    ];
    let foreign = file("foreign", 0o644);
    if give_away(&foreign) {
        files.push((foreign, "it belongs to user 65534, who can change it"));
    } else {
        eprintln!("skipped: run as root to test files of other users");
    }
    files
}

fn assert_refused(ended: &Ended, path: &Path, why: &str) {
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(1), ""),
        "{path:?}: {ended:?}"
    );
    assert!(ended.stderr.contains(why), "{path:?}: {ended:?}");
    assert!(ended.stderr.contains(text(path)), "{path:?}: {ended:?}");
    assert!(
        !ended.stderr.contains("hunter2") && !ended.stderr.contains(SECRET),
        "{ended:?}"
    );
}

#[test]
fn a_key_file_of_others_is_refused_by_all_programs() {
    let folder = Folder::new();
    for (path, why) in bad_files(&folder, &format!("a {SECRET}\n")) {
        let key = ["--identity-key-file", text(&path)];
        assert_refused(&fibpro(&[&["status"], &key[..]].concat()), &path, why);
        let mut sink = logsink(&["--listen", "127.0.0.1:0", "--store", "none"]);
        assert_refused(&output(sink.args(key)).into(), &path, why);
    }
}

#[test]
fn a_flags_file_of_others_is_refused() {
    let folder = Folder::new();
    for (path, why) in bad_files(&folder, "log_rpc = true\n") {
        let mut sink = logsink(&["--listen", "127.0.0.1:0", "--store", "none"]);
        assert_refused(
            &output(sink.args(["--flags-file", text(&path)])).into(),
            &path,
            why,
        );
    }
}

#[test]
fn a_users_file_of_others_is_refused() {
    let folder = Folder::new();
    let users = json!([{"username": "ada", "password": "hunter2", "credit": 1}]).to_string();
    for (path, why) in bad_files(&folder, &users) {
        let database = format!("sqlite://{}", folder.file("users.sqlite").display());
        let mut userstore = command(
            env!("CARGO_BIN_EXE_userstore"),
            &[
                "--listen",
                "127.0.0.1:0",
                "--database",
                &database,
                "--users",
                text(&path),
            ],
        );
        assert_refused(&output(&mut userstore).into(), &path, why);
    }
}

#[test]
fn a_database_of_others_is_refused() {
    let folder = Folder::new();
    for (path, why) in bad_files(&folder, "") {
        if why.contains("larger") {
            continue;
        }
        let database = format!("sqlite://{}", path.display());
        let mut userstore = command(
            env!("CARGO_BIN_EXE_userstore"),
            &["--listen", "127.0.0.1:0", "--database", &database],
        );
        assert_refused(&output(&mut userstore).into(), &path, why);
        // A log sink goes on without its store, and reports that.
        let mut sink = LogSink::start_with(&path);
        let line = sink.wait_for_stderr("cannot store log records");
        assert!(line.contains(why), "{line}");
        let answer = sink.call("RecvLog", r#"{"message": "x"}"#);
        assert_eq!((answer.status, answer.code()), (503, "unavailable"));
    }
}

#[test]
fn files_beside_a_database_are_checked() {
    for (name, is_link, why) in [
        (".users.sqlite.store", false, "it is a pipe"),
        (".users.sqlite.store", true, "it is a symbolic link"),
        ("users.sqlite-wal", false, "it is a pipe"),
        ("users.sqlite-journal", false, "it is a pipe"),
        ("users.sqlite-wal", true, "it is a symbolic link"),
        ("users.sqlite-shm", true, "it is a symbolic link"),
    ] {
        let folder = Folder::new();
        let (path, target) = (folder.file(name), folder.file("target"));
        fs::write(&target, "").unwrap();
        if is_link {
            std::os::unix::fs::symlink(&target, &path).unwrap();
        } else {
            make_pipe(&path);
        }
        let ended = start_userstore(&folder);
        assert_refused(&ended, &path, why);
        assert_eq!(fs::read(&target).unwrap(), b"", "{name}");
    }
}

/// Runs `fibpro backup` and `fibpro restore` on a file, which both refuse.
fn assert_not_copied(folder: &Folder, database: &Path, bad: &Path, why: &str) {
    let url = |path: &Path| format!("sqlite://{}", path.display());
    let (copy, other) = (folder.file("copy"), folder.file("other.sqlite"));
    for ended in [
        fibpro(&["backup", text(&copy), "--database", &url(database)]),
        fibpro(&["restore", text(database), "--database", &url(&other)]),
    ] {
        assert_refused(&ended, bad, why);
        assert!(!copy.exists() && !other.exists(), "{ended:?}");
    }
}

#[test]
fn a_backup_reads_no_file_of_others() {
    for (name, is_link, why) in [
        ("users.sqlite", false, "it is a pipe"),
        ("users.sqlite-wal", false, "it is a pipe"),
        ("users.sqlite-wal", true, "it is a symbolic link"),
        ("users.sqlite-journal", false, "it is a pipe"),
    ] {
        let folder = Folder::new();
        let (database, bad) = (folder.file("users.sqlite"), folder.file(name));
        fs::write(&database, "").unwrap();
        if is_link {
            std::os::unix::fs::symlink(folder.file("target"), &bad).unwrap();
        } else {
            // The file itself becomes a pipe as well.
            let _ = fs::remove_file(&bad);
            make_pipe(&bad);
        }
        assert_not_copied(&folder, &database, &bad, why);
    }
    let folder = Folder::new();
    let database = folder.file("users.sqlite");
    let wal = folder.file("users.sqlite-wal");
    for bad in [&wal, &database] {
        fs::write(&database, "").unwrap();
        fs::write(bad, "").unwrap();
        set_mode(bad, 0o666);
        assert_not_copied(&folder, &database, bad, "so other users can write it");
    }
    // Beside the file that a link leads to.
    let linked = Folder::new();
    fs::write(linked.file("real.sqlite"), "").unwrap();
    let link = linked.file("users.sqlite");
    std::os::unix::fs::symlink(linked.file("real.sqlite"), &link).unwrap();
    let pipe = linked.file("real.sqlite-wal");
    make_pipe(&pipe);
    assert_not_copied(&linked, &link, &pipe, "it is a pipe");
}

#[test]
fn a_new_database_is_not_created_among_others() {
    for mode in [0o777, 0o702] {
        let folder = Folder::new();
        set_mode(&folder.file(""), mode);
        let ended = start_userstore(&folder);
        assert_refused(
            &ended,
            &folder.file("users.sqlite"),
            "so other users can write it",
        );
        assert!(!folder.file("users.sqlite").exists());
        assert!(!folder.file(".users.sqlite.store").exists());
    }
}

fn start_userstore(folder: &Folder) -> Ended {
    let database = format!("sqlite://{}", folder.file("users.sqlite").display());
    let arguments = ["--listen", "127.0.0.1:0", "--database", &database];
    output(&mut command(env!("CARGO_BIN_EXE_userstore"), &arguments)).into()
}

#[test]
fn a_data_folder_of_others_is_refused() {
    let up = |data: &Path| {
        let ended = fibpro(&["up", "--base-port", "0", "--data-dir", text(data)]);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(1), ""),
            "{ended:?}"
        );
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        ended.stderr
    };
    let folder = Folder::new();
    let data = folder.file("data");
    fs::create_dir(&data).unwrap();
    // Also if it is sticky: others could put a database there before this user does.
    for mode in [0o777, 0o702, 0o1777] {
        set_mode(&data, mode);
        let expected = format!(
            "error: cannot use the data folder {} (`--data-dir`): it has mode {mode:o}, so other users can \
             write it; run `chmod go-w` on it\n",
            data.display()
        );
        assert_eq!(up(&data), expected);
    }
    assert_eq!(
        fs::read_dir(&data).unwrap().count(),
        0,
        "nothing was made in it"
    );
    set_mode(&data, 0o755);
    let key = data.join("identity.key");
    fs::write(&key, format!("up {SECRET}\n")).unwrap();
    set_mode(&key, 0o622);
    assert!(up(&data).contains("identity.key: it has mode 622, so other users can write it"));
    fs::remove_file(&key).unwrap();
    make_pipe(&key);
    assert!(up(&data).contains("identity.key: it is a pipe, expected a regular file"));
    fs::remove_file(&key).unwrap();
    if give_away(&data) {
        let expected = "it belongs to user 65534, who can change it; run `chown 0` on it\n";
        assert!(up(&data).ends_with(expected));
    }
}

#[test]
fn byte_order_marks_are_skipped() {
    let folder = Folder::new();
    let write = |name: &str, content: &str| {
        let path = folder.file(name);
        fs::write(&path, format!("\u{feff}{content}")).unwrap();
        set_mode(&path, 0o600);
        path
    };
    let key = write("key", &format!("a {SECRET}\n"));
    let flags = write("flags", "log_rpc = true\n");
    let sink = LogSink::start_on(&[
        "--listen",
        "127.0.0.1:0",
        "--identity-key-file",
        text(&key),
        "--flags-file",
        text(&flags),
    ]);
    let ended = fibpro(&[
        "flags",
        "--to",
        &sink.url,
        "--identity-key-file",
        text(&key),
    ]);
    assert!(
        ended.stdout.contains("log_rpc = true   from file\n"),
        "{ended:?}"
    );
    let users = write(
        "users",
        r#"[{"username": "ada", "password": "hunter2", "credit": 4}]"#,
    );
    let list = fibpro::service::userstore::UserList::read(&users).unwrap();
    assert_eq!(format!("{list:?}"), r#"["ada"]"#);
    // UTF-16, as some editors call "Unicode".
    let wide: Vec<u8> = "\u{feff}a"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(&users, wide).unwrap();
    let error = fibpro::service::userstore::UserList::read(&users).unwrap_err();
    assert!(
        error.message().ends_with("it is UTF-16; save it as UTF-8"),
        "{error}"
    );
}

#[test]
fn a_byte_order_mark_in_a_body_is_named() {
    let sink = LogSink::start();
    for body in ["\u{feff}{\"message\": \"x\"}", "\u{feff}", " \u{feff}{}"] {
        let answer = sink.call("RecvLog", body);
        assert_eq!((answer.status, answer.code()), (400, "invalid_argument"));
        assert_eq!(
            answer.message(),
            "the body begins with a byte order mark; send JSON in UTF-8 without one"
        );
    }
}

#[test]
fn a_log_spool_of_others_is_refused() {
    let folder = Folder::new();
    let data = folder.file("data");
    let spool = data.join("log-spool");
    let up = || {
        let ended = fibpro(&["up", "--base-port", "0", "--data-dir", text(&data)]);
        assert_refused(&ended, &spool, "");
        ended.stderr
    };
    fs::create_dir_all(&spool).unwrap();
    for mode in [0o777, 0o702] {
        set_mode(&spool, mode);
        let stderr = up();
        let why = format!("has mode {mode:o}, so other users can write it");
        assert!(stderr.contains(&why), "{stderr}");
    }
    set_mode(&spool, 0o700);
    if give_away(&spool) {
        let stderr = up();
        assert!(stderr.contains("belongs to user 65534"), "{stderr}");
    }
    fs::remove_dir_all(&spool).unwrap();
    std::os::unix::fs::symlink(folder.file("missing"), &spool).unwrap();
    let stderr = up();
    assert!(
        stderr.contains("log-spool is a symbolic link that leads nowhere"),
        "{stderr}"
    );
}

#[test]
fn a_spool_behind_a_link_is_as_safe_as_its_folder() {
    let folder = Folder::new();
    let outer = folder.file("outer");
    fs::create_dir_all(outer.join("spool")).unwrap();
    set_mode(&outer, 0o777);
    let link = folder.file("link");
    std::os::unix::fs::symlink(outer.join("spool"), &link).unwrap();
    for spool in [&link, &outer.join("spool")] {
        let mut pricing = command(
            env!("CARGO_BIN_EXE_pricing"),
            &[
                "--listen",
                "127.0.0.1:0",
                "--logsink",
                "http://127.0.0.1:9",
                "--log-spool",
                text(spool),
            ],
        );
        let ended: Ended = output(&mut pricing).into();
        assert_refused(&ended, spool, "has mode 777, so other users can write it");
    }
}

#[test]
fn a_copy_is_not_written_among_others() {
    for mode in [0o777, 0o702] {
        let folder = Folder::new();
        let open = folder.file("open");
        fs::create_dir(&open).unwrap();
        set_mode(&open, mode);
        let link = folder.file("link");
        std::os::unix::fs::symlink(open.join("target"), &link).unwrap();
        let database = format!("sqlite://{}", folder.file("users.sqlite").display());
        for copy in [open.join("copy"), link] {
            let ended = fibpro(&["backup", text(&copy), "--database", &database]);
            assert_refused(&ended, &copy, "so other users can write it");
            assert_eq!(fs::read_dir(&open).unwrap().count(), 0);
        }
    }
}
