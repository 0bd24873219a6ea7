//! The flags file.

use std::path::Path;

use rpc_runtime::flags::FlagOrigin;
use rpc_runtime::prelude::*;
use rpc_tests::folder::Folder;
use rpc_tests::wait::until;

use super::{AT_START, KEY, LARGEST, LogBuffer, flag, server, started};

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn a_changed_file_is_read_and_a_bad_one_ignored() {
    let (logs, _guard) = LogBuffer::start();
    let folder = Folder::new();
    let path = folder.file("flags");
    write(&path, "# at first\nlargest = 200\nat_start = 2\n");
    let server = server("one").flag(&LARGEST, 150).flags_file(&path);
    let handle = server.flags();
    let (_running, flags, limited) = started(server).await;
    assert_eq!(limited.largest().await.unwrap(), 200);
    assert_eq!(flag(&flags, "at_start").await.value, "2");
    assert_eq!(flag(&flags, "largest").await.origin, FlagOrigin::File);

    write(&path, "largest = 300\nat_start = 3\n");
    until(async || handle.get(&LARGEST) == 300).await;
    assert_eq!(handle.get(&AT_START), 2);
    assert_eq!(
        logs.lines("the new value takes effect at the next start")
            .len(),
        1
    );
    let by = format!(r#"old="200" new="300" by="file {}""#, path.display());
    assert_eq!(logs.lines(&by).len(), 1, "{}", logs.text());

    // Half written, invalid, deleted: no value is applied, and each error is logged once.
    for (text, expected) in [
        ("largest = 4", "may be incomplete"),
        ("largest = 4\nlargets = 5\n", "did you mean largest?"),
        ("key = canary\nlargest = 0\n", "line 2: invalid value `0`"),
    ] {
        write(&path, text);
        until(async || !logs.lines(expected).is_empty()).await;
    }
    std::fs::remove_file(&path).unwrap();
    until(async || !logs.lines("failed to read").is_empty()).await;
    assert_eq!(handle.get(&LARGEST), 300);
    assert_eq!(*handle.load(&KEY), "canary-default");
    assert_eq!(
        logs.lines("failed to reload the flags file: flags are unchanged")
            .len(),
        4,
        "{}",
        logs.text()
    );
    assert!(!logs.text().contains("canary"));

    // As a mounted ConfigMap: a symbolic link that is moved to the next folder.
    #[cfg(unix)]
    {
        for (version, text) in [("v1", "largest = 301\n"), ("v2", "")] {
            std::fs::create_dir(folder.file(version)).unwrap();
            write(&folder.file(version).join("flags"), text);
            let link = folder.file("next");
            std::os::unix::fs::symlink(folder.file(version).join("flags"), &link).unwrap();
            std::fs::rename(&link, &path).unwrap();
            let expected = if version == "v1" { 301 } else { 150 };
            until(async || handle.get(&LARGEST) == expected).await;
        }
        assert_eq!(flag(&flags, "largest").await.origin, FlagOrigin::Program);
    }
}

#[tokio::test]
async fn a_value_set_at_run_time_wins_over_a_changed_file() {
    let (logs, _guard) = LogBuffer::start();
    let folder = Folder::new();
    let path = folder.file("flags");
    write(&path, "largest = 200\n");
    let server = server("one").flags_file(&path);
    let handle = server.flags();
    let (_running, flags, _) = started(server).await;
    flags.set("largest", "500").await.unwrap();
    write(&path, "largest = 300\n");
    until(async || {
        !logs
            .lines("a source with higher precedence sets it")
            .is_empty()
    })
    .await;
    assert_eq!(handle.get(&LARGEST), 500);
    assert_eq!(flags.reset("largest").await.unwrap().value, "300");
}

#[tokio::test]
async fn a_start_with_a_bad_file_fails() {
    let folder = Folder::new();
    let path = folder.file("flags");
    let start = || {
        server("one")
            .flags_file(&path)
            .into_local_client()
            .unwrap_err()
    };
    assert_eq!(start().code(), Code::FailedPrecondition);
    write(&path, "largest = 1\nlargest = 2\n");
    let error = start();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(
        error.message().ends_with("line 2: duplicate flag largest"),
        "{error}"
    );
    std::fs::write(&path, [0xff, b'\n']).unwrap();
    assert!(start().message().contains("not UTF-8"));
}
