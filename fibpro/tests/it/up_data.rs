//! The data folder of `fibpro up`, and variables of services that it does not use.

use crate::process::{Ended, Folder, output, start};
use crate::up::{Up, up_in};

#[test]
fn a_data_folder_may_have_any_name() {
    for (name, modes) in [
        ("d ?#%20x", &[&[][..], &["--processes"]][..]),
        ("it's $HOME & \"more\"", &[&[]]),
        ("Zürich,%3F;a=b", &[&["--processes"]]),
    ] {
        for mode in modes {
            let folder = Folder::new();
            let data = folder.file(name);
            let mut process = start(&mut up_in(&data, mode));
            process.wait_for_stdout("Ctrl-C stops all").unwrap();
            assert!(data.join("users.sqlite").is_file(), "{name}");
            process.terminate().unwrap();
            let ended = process.wait().unwrap();
            assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        }
    }
}

#[test]
fn a_data_folder_that_is_not_utf8_is_refused_by_name() {
    use std::os::unix::ffi::OsStrExt as _;

    let folder = Folder::new();
    let data = folder.path().join(std::ffi::OsStr::from_bytes(b"d\xffx"));
    for mode in [&[][..], &["--processes"], &["--unix"]] {
        let ended = Ended::from(output(&mut up_in(&data, mode)));
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(
            ended.stderr.contains("(`--data-dir`) must be UTF-8"),
            "{ended:?}"
        );
        assert!(!data.exists());
    }
}

#[test]
fn variables_that_up_does_not_use_are_named() {
    let variables = [
        ("RPC_LISTEN", "127.0.0.1:1"),
        ("FIBPRO_OPERATOR", "127.0.0.1:1"),
        ("FIBPRO_ENDPOINT_PRICING", "http://127.0.0.1:1"),
    ];
    let up = Up::start_with(Folder::new(), &[], &variables);
    let (ended, _folder) = up.stop();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    for (name, _) in variables {
        let line = format!("does not use the variable {name}:");
        assert!(ended.stderr.contains(&line), "{name}: {ended:?}");
    }
    assert!(!ended.stderr.contains("RPC_INSTANCE"), "{ended:?}");
}
