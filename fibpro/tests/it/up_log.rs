//! `RUST_LOG` and `RPC_SHIP_LOG` of `fibpro up`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::process::{Ended, Folder, output, start};
use crate::up::up_in;

/// Starts `up` with this `RUST_LOG`, stops it, and returns its stderr.
fn stderr_with(value: &[u8], arguments: &[&str]) -> String {
    let folder = Folder::new();
    let mut command = up_in(&folder.file("data"), arguments);
    let mut process = start(command.env("RUST_LOG", OsStr::from_bytes(value)));
    process.wait_for_stdout("Ctrl-C stops all").unwrap();
    process.terminate().unwrap();
    let ended = process.wait().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    ended.stderr
}

const IN_PROCESS: &[&str] = &[];
const PROCESSES: &[&str] = &["--processes"];

#[test]
fn what_up_does_not_understand_of_rust_log_is_said() {
    let no_level = "RUST_LOG: `infoo` is not a level; did you mean `info`?\n";
    let left_out = "RUST_LOG: `rpc=wrn` was left out: `wrn` is not a level; did you mean `warn`?\n";
    let no_text = "RUST_LOG: it is not valid UTF-8\n";
    let a_target = "RUST_LOG: `loud` is not a level, so it selects all events of the target `loud`; \
                    the levels are error, warn, info, debug, trace and off\n";
    for (value, arguments, note, is_default) in [
        (&b"infoo"[..], IN_PROCESS, no_level, true),
        (b"infoo", PROCESSES, no_level, true),
        (b"info,rpc=wrn", IN_PROCESS, left_out, false),
        (b"info,rpc=wrn", PROCESSES, left_out, false),
        (b"info\xff", IN_PROCESS, no_text, true),
        (b"infoo,rpc=info", PROCESSES, no_level, false),
        (b"loud,info", PROCESSES, a_target, false),
    ] {
        let stderr = stderr_with(value, arguments);
        // Once, and not by each process.
        assert_eq!(stderr.matches(note).count(), 1, "{stderr}");
        let all = 1 + usize::from(is_default);
        assert_eq!(stderr.matches("RUST_LOG").count(), all, "{stderr}");
        let default = "RUST_LOG: using the default, `error`\n";
        assert_eq!(stderr.contains(default), is_default, "{stderr}");
        assert_eq!(stderr.contains(" INFO "), !is_default, "{stderr}");
    }
}

#[test]
fn an_empty_rust_log_of_up_counts_as_unset() {
    for (value, arguments, is_default) in [
        (&b""[..], PROCESSES, true),
        (b" , ", PROCESSES, true),
        (b"", IN_PROCESS, true),
        (b"info", PROCESSES, false),
    ] {
        let stderr = stderr_with(value, arguments);
        assert_eq!(stderr.contains(" INFO "), !is_default, "{stderr}");
        assert!(!stderr.contains("RUST_LOG"), "{stderr}");
    }
}

#[test]
fn a_filter_of_up_that_is_refused_is_named() {
    for value in [&b"shop=loud"[..], b"infoo", b"info\xff", b"\xff"] {
        for arguments in [IN_PROCESS, PROCESSES] {
            let folder = Folder::new();
            let mut command = up_in(&folder.file("data"), arguments);
            command.env("RPC_SHIP_LOG", OsStr::from_bytes(value));
            let ended = Ended::from(output(&mut command));
            assert_eq!(ended.code, Some(1), "{ended:?}");
            assert!(ended.stderr.contains("RPC_SHIP_LOG"), "{ended:?}");
        }
    }
}
