//! Tests of reading and checking.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::process::Command;

use super::*;

/// A folder of this user that is deleted at the end of the test.
struct PrivateFolder(PathBuf);

impl PrivateFolder {
    fn new() -> Self {
        let name = format!("rpc-files-{}-{:x}", std::process::id(), fastrand::u64(..));
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path).unwrap();
        Self(path)
    }

    fn file(&self, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.0.join(format!("{:x}", fastrand::u64(..)));
        fs::write(&path, content).unwrap();
        set_mode(&path, mode);
        path
    }

    fn pipe(&self) -> PathBuf {
        let path = self.0.join("pipe");
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        path
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn refused(path: &Path) -> String {
    let text = read_text(path, 100).unwrap_err().to_string();
    // The checks agree about everything but the content.
    if let Err(error) = check_file(path) {
        assert_eq!(error.to_string(), text);
    }
    text
}

#[test]
fn only_regular_files_are_read() {
    let folder = PrivateFolder::new();
    assert_eq!(
        refused(&folder.0),
        "it is a directory, expected a regular file"
    );
    assert_eq!(
        refused(&folder.pipe()),
        "it is a pipe, expected a regular file"
    );
    for device in ["/dev/zero", "/dev/null"] {
        assert_eq!(
            refused(Path::new(device)),
            "it is a device, expected a regular file"
        );
    }
    let socket = folder.0.join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    assert_eq!(refused(&socket), "it is a socket, expected a regular file");
    let link = folder.0.join("link");
    std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
    assert_eq!(refused(&link), "it is a device, expected a regular file");
    let error = read_text(&folder.0.join("missing"), 100).unwrap_err();
    assert!(matches!(error, FileError::Io(_)), "{error}");
    check_file(&folder.0.join("missing")).unwrap();
}

#[test]
fn a_file_is_read_up_to_its_limit() {
    let folder = PrivateFolder::new();
    let whole = folder.file("x".repeat(100), 0o600);
    assert_eq!(read_text(&whole, 100).unwrap().len(), 100);
    assert_eq!(
        refused(&folder.file("x".repeat(101), 0o600)),
        "it is larger than 100 bytes"
    );
    let sparse = folder.file("", 0o600);
    File::options()
        .write(true)
        .open(&sparse)
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    assert_eq!(refused(&sparse), "it is larger than 100 bytes");
    // A file that is longer than its size, which is 0.
    let error = read_text(Path::new("/proc/self/status"), 100);
    if Path::new("/proc/self/status").exists() {
        assert!(matches!(error, Err(FileError::TooLarge(100))), "{error:?}");
    }
}

#[test]
fn a_byte_order_mark_is_left_out() {
    let folder = PrivateFolder::new();
    let read = |content: &[u8]| read_text(&folder.file(content, 0o600), 100);
    assert_eq!(read("\u{feff}a = 1\n".as_bytes()).unwrap(), "a = 1\n");
    assert_eq!(read("\u{feff}".as_bytes()).unwrap(), "");
    // Only the first one is a mark.
    assert_eq!(read("\u{feff}\u{feff}a".as_bytes()).unwrap(), "\u{feff}a");
    assert_eq!(read(b"a\xff").unwrap_err().to_string(), "it is not UTF-8");
    for utf16 in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a"] {
        assert_eq!(
            read(utf16).unwrap_err().to_string(),
            "it is UTF-16; save it as UTF-8"
        );
    }
}

#[test]
fn a_file_that_others_can_write_is_refused() {
    let folder = PrivateFolder::new();
    for mode in [0o600, 0o644, 0o400, 0o755] {
        assert_eq!(
            read_text(&folder.file("x", mode), 100).unwrap(),
            "x",
            "{mode:o}"
        );
    }
    for mode in [0o602, 0o666, 0o777, 0o646] {
        let text = refused(&folder.file("x", mode));
        assert_eq!(
            text,
            format!("it has mode {mode:o}, so other users can write it; run `chmod go-w` on it")
        );
    }
}

#[test]
fn a_folder_that_others_can_write_is_refused() {
    let folder = PrivateFolder::new();
    let path = folder.file("x", 0o600);
    for mode in [0o702, 0o777] {
        set_mode(&folder.0, mode);
        check_folder(&folder.0).unwrap_err();
        check_shared_folder(&folder.0).unwrap_err();
        let text = refused(&path);
        let expected = format!(
            "its folder {} has mode {mode:o}, so other users can write it; run `chmod go-w` on it",
            folder.0.display()
        );
        assert_eq!(text, expected);
    }
    // Others can create files in it, but not replace those of this user.
    set_mode(&folder.0, 0o1777);
    assert_eq!(read_text(&path, 100).unwrap(), "x");
    check_shared_folder(&folder.0).unwrap();
    check_folder(&folder.0).unwrap_err();
    set_mode(&folder.0, 0o755);
    check_folder(&folder.0).unwrap();
    assert!(matches!(check_folder(&path), Err(FileError::NotFolder)));
}

#[test]
fn a_link_is_as_safe_as_both_folders() {
    let (inner, outer) = (PrivateFolder::new(), PrivateFolder::new());
    let path = inner.file("x", 0o600);
    let link = outer.0.join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(read_text(&link, 100).unwrap(), "x");
    for folder in [&inner, &outer] {
        set_mode(&folder.0, 0o777);
        assert!(refused(&link).starts_with(&format!("its folder {} ", folder.0.display())));
        set_mode(&folder.0, 0o700);
    }
}

#[test]
fn a_missing_file_is_as_safe_as_its_folder() {
    let (inner, outer) = (PrivateFolder::new(), PrivateFolder::new());
    let missing = inner.0.join("missing");
    let link = outer.0.join("link");
    std::os::unix::fs::symlink(&missing, &link).unwrap();
    let second = outer.0.join("second");
    std::os::unix::fs::symlink("link", &second).unwrap();
    for path in [&missing, &link, &second] {
        check_file(path).unwrap();
        set_mode(&inner.0, 0o777);
        let error = check_file(path).unwrap_err().to_string();
        let expected = format!("its folder {} has mode 777", inner.0.display());
        assert!(error.starts_with(&expected), "{error}");
        set_mode(&inner.0, 0o1777);
        check_file(path).unwrap();
        set_mode(&inner.0, 0o700);
    }
    set_mode(&outer.0, 0o702);
    assert!(check_file(&link).is_err() && check_file(&second).is_err());
    check_file(&inner.0.join("folder/missing")).unwrap();
}

#[test]
fn a_link_of_another_user_is_refused() {
    let folder = PrivateFolder::new();
    let path = folder.file("x", 0o600);
    let links = [
        (folder.0.join("link"), path),
        (folder.0.join("dangling"), folder.0.join("missing")),
    ];
    for (link, target) in &links {
        std::os::unix::fs::symlink(target, link).unwrap();
        // Only the superuser can give links away.
        if std::os::unix::fs::lchown(link, Some(65_534), None).is_err() {
            eprintln!("skipped: run as root to test links of other users");
            return;
        }
        set_mode(&folder.0, 0o1777);
        let error = check_file(link).unwrap_err().to_string();
        assert!(error.starts_with("it belongs to user 65534"), "{error}");
        check_file(target).unwrap();
        std::os::unix::fs::lchown(link, Some(0), None).unwrap();
        check_file(link).unwrap();
    }
}

#[test]
fn a_file_of_another_user_is_refused() {
    let folder = PrivateFolder::new();
    let path = folder.file("x", 0o644);
    // Only the superuser can give files away.
    if std::os::unix::fs::chown(&path, Some(65_534), None).is_err() {
        eprintln!("skipped: run as root to test files of other users");
        return;
    }
    assert_eq!(
        refused(&path),
        "it belongs to user 65534, who can change it; run `chown 0` on it"
    );
    std::os::unix::fs::chown(&path, Some(0), None).unwrap();
    assert_eq!(read_text(&path, 100).unwrap(), "x");
    std::os::unix::fs::chown(&folder.0, Some(65_534), None).unwrap();
    assert!(refused(&path).contains("belongs to user 65534"));
    assert!(check_folder(&folder.0).is_err());
}

#[test]
fn a_lock_is_released_though_a_child_inherited_it() {
    let folder = PrivateFolder::new();
    let path = folder.0.join("lock");
    let lock = FileLock::acquire(&path).unwrap().unwrap();
    assert!(FileLock::acquire(&path).unwrap().is_none());
    let inherited = lock.inherited();
    drop(lock);
    assert!(FileLock::acquire(&path).unwrap().is_some());
    drop(inherited);
    let error = FileLock::acquire(&folder.pipe()).unwrap_err();
    assert_eq!(error.to_string(), "it is a pipe, expected a regular file");
}

#[test]
fn each_link_on_the_way_is_as_safe_as_its_folder() {
    let (inner, middle, outer) = (
        PrivateFolder::new(),
        PrivateFolder::new(),
        PrivateFolder::new(),
    );
    let path = inner.file("x", 0o600);
    let name = path.file_name().unwrap();
    let link = |target: &Path, at: PathBuf| {
        std::os::unix::fs::symlink(target, &at).unwrap();
        at
    };
    // A link to the folder, a link to that, a link to a link to the file, and a way back.
    let folder = link(&inner.0, middle.0.join("folder"));
    let second = link(&folder, outer.0.join("folder"));
    let to_file = link(&path, middle.0.join("file"));
    let third = link(&to_file, outer.0.join("file"));
    let back = outer
        .0
        .join("folder")
        .join("..")
        .join(inner.0.file_name().unwrap());
    for way in [folder.join(name), second.join(name), third, back.join(name)] {
        assert_eq!(read_text(&way, 100).unwrap(), "x", "{way:?}");
        set_mode(&middle.0, 0o777);
        let expected = format!("its folder {} has mode 777", middle.0.display());
        assert!(refused(&way).starts_with(&expected), "{way:?}");
        set_mode(&middle.0, 0o1777);
        assert_eq!(read_text(&way, 100).unwrap(), "x", "{way:?}");
        set_mode(&middle.0, 0o700);
    }
    set_mode(&middle.0, 0o702);
    for checked in [check_folder(&folder), check_shared_folder(&second)] {
        assert!(
            matches!(checked, Err(FileError::UntrustedFolder(..))),
            "{checked:?}"
        );
    }
    check_folder(&inner.0).unwrap();
    let missing = second.join("missing");
    assert!(matches!(
        check_file(&missing),
        Err(FileError::UntrustedFolder(..))
    ));
}

#[test]
fn a_folder_is_as_safe_as_the_one_it_is_in() {
    let outer = PrivateFolder::new();
    let inner = outer.0.join("inner");
    create_folder(&inner.join("a/b")).unwrap();
    for mode in [0o777, 0o702] {
        set_mode(&outer.0, mode);
        let expected = format!("its folder {} has mode {mode:o}", outer.0.display());
        for checked in [check_folder(&inner), check_shared_folder(&inner)] {
            let error = checked.unwrap_err().to_string();
            assert!(error.starts_with(&expected), "{error}");
        }
        check_folder(&inner.join("a")).unwrap();
    }
    set_mode(&outer.0, 0o1777);
    check_folder(&inner).unwrap();
}

#[test]
fn what_is_in_the_way_of_a_folder_is_named() {
    let folder = PrivateFolder::new();
    let file = folder.file("x", 0o600);
    let dangling = folder.0.join("dangling");
    std::os::unix::fs::symlink(folder.0.join("missing"), &dangling).unwrap();
    let to_file = folder.0.join("link");
    std::os::unix::fs::symlink(&file, &to_file).unwrap();
    for (way, what) in [
        (&file, "no folder"),
        (&to_file, "no folder"),
        (&dangling, "a symbolic link that leads nowhere"),
    ] {
        for path in [way.clone(), way.join("inner/most")] {
            let error = create_folder(&path).unwrap_err();
            assert_eq!(error.to_string(), format!("{} is {what}", way.display()));
        }
    }
    let made = folder.0.join("made");
    create_folder(&made.join("inner")).unwrap();
    create_folder(&made.join("inner")).unwrap();
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(fs::metadata(&made).unwrap().mode() & 0o777, 0o700);
}
