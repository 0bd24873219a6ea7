use rpc_tests::folder::Folder;

use super::*;

/// Returns the command of a program with its own subscriber, which logs to stderr.
fn own_subscriber(kind: &str) -> (Command, Folder) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_own_subscriber"));
    clear(&mut command);
    let folder = Folder::missing();
    command.arg(kind).arg("--log-spool").arg(folder.path());
    (command, folder)
}

/// A sink that refuses connections: the test needs the lines of the start only.
const SINK: [&str; 2] = ["--logsink", "http://127.0.0.1:1"];

const NOT_EXPORTED: &str = "the log is not exported";

#[test]
fn an_own_exporter_is_no_false_alarm() {
    for kind in ["options", "boxed", "early"] {
        let (mut command, _folder) = own_subscriber(kind);
        let mut process = start(command.args(SINK));
        let ended = stop(&mut process);
        assert!(ended.stderr.contains("stopping"), "{kind}: {ended:?}");
        assert!(!ended.stderr.contains(NOT_EXPORTED), "{kind}: {ended:?}");
    }
}

#[test]
fn a_log_that_is_not_exported_is_still_said() {
    for kind in ["none", "without-layer", "other-sink"] {
        let (mut command, _folder) = own_subscriber(kind);
        let mut process = start(command.args(SINK));
        let ended = stop(&mut process);
        let warning = "the log is not exported to http://127.0.0.1:1";
        assert!(ended.stderr.contains(warning), "{kind}: {ended:?}");
    }
    let (mut command, _folder) = own_subscriber("none");
    let ended = stop(&mut start(&mut command));
    assert!(
        !ended.stderr.contains(NOT_EXPORTED),
        "without a sink: {ended:?}"
    );
}

#[test]
fn what_of_rust_log_is_not_understood_is_said() {
    for (value, note, info) in [
        ("infoo", "did you mean `info`?", true),
        (
            "info,rpc=wrn",
            "`wrn` is not a level; did you mean `warn`?",
            true,
        ),
        ("warning", "did you mean `warn`?", true),
        ("loud", "it selects all events of the target `loud`", false),
        ("off,rpc=", "`rpc=` was left out", false),
    ] {
        for format in ["text", "json"] {
            let mut command = back();
            command
                .env("RUST_LOG", value)
                .args(["--log-format", format]);
            let ended = stop(&mut start(&mut command));
            let note = if format == "json" {
                note.replace('"', "\\\"")
            } else {
                note.to_owned()
            };
            assert!(ended.stderr.contains(&note), "{value}: {}", ended.stderr);
            assert!(
                ended.stderr.contains("RUST_LOG: "),
                "{value}: {}",
                ended.stderr
            );
            assert_eq!(
                ended.stderr.contains("stopping"),
                info,
                "{value}: {}",
                ended.stderr
            );
            if format == "json" {
                for line in ended.stderr.lines() {
                    serde_json::from_str::<serde_json::Value>(line).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_valid_rust_log_is_not_commented() {
    for value in [
        "info",
        "",
        "rpc=debug",
        "off",
        "chain_service",
        "warn,rpc=info",
    ] {
        let ended = stop(&mut start(back().env("RUST_LOG", value)));
        assert!(
            !ended.stderr.contains("RUST_LOG"),
            "{value}: {}",
            ended.stderr
        );
    }
}
