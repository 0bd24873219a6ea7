//! `fibpro`: output and exit codes.

use serde_json::Value;

use crate::process::{Ended, LogSink, command, fibpro, output};

#[test]
fn log_sends_one_record_under_its_own_name() {
    let sink = LogSink::start();
    let ended = fibpro(&["log", "test_msg", "--level", "warn", "--to", &sink.url]);
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
        (Some(0), "accepted\n", "")
    );
    let printed = sink.printed();
    let id = printed
        .strip_prefix("[prod_fibpro] ")
        .and_then(|rest| rest.strip_suffix(" test_msg\n"));
    assert_eq!(id.map(str::len), Some(16), "{printed}");
}

#[test]
fn log_says_why_a_record_was_not_taken() {
    let sink = LogSink::start();
    let ended = fibpro(&["log", "", "--to", &sink.url]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        ended.stderr,
        "error: the log sink rejected the record: its text is empty\n"
    );
}

#[test]
fn a_failed_call_exits_with_1_and_prints_its_hops() {
    let mut sink = LogSink::start_on(&["--listen", "127.0.0.1:0", "--store", "none"]);
    sink.close_stdout();
    let ended = fibpro(&["log", "test_msg", "--to", &sink.url]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert!(
        lines[0].starts_with("error: unavailable: cannot write log lines: broken pipe   [request "),
        "{ended:?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.contains("fibpro/src/command/log.rs:")),
        "{ended:?}"
    );
    let from = lines.last().unwrap();
    assert!(from.starts_with("  from LogSink.RecvLog "), "{ended:?}");
    assert!(
        from.contains("fibpro/src/service/logsink/printer.rs:")
            && from.contains("logsink@prod 127.0.0.1:"),
        "{ended:?}"
    );
}

#[test]
fn a_service_that_is_not_there_ends_with_1() {
    // Bound and closed again: no process listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let ended = fibpro(&["log", "test_msg", "--to", &format!("http://{address}")]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.starts_with(&format!(
            "error: unavailable: cannot connect to http://{address}: "
        )),
        "{ended:?}"
    );
}

#[test]
fn d04_a_wrong_argument_exits_with_2_and_lists_values() {
    for (arguments, words) in [
        (
            &["log", "x", "--level", "severe"][..],
            "expected one of `debug`, `info`, `warn`, `error`",
        ),
        (
            &["log", "x", "--to", "localhost:9002"],
            "the scheme is missing: write `http://localhost:9002`",
        ),
        (&["log"], "<TEXT>"),
        (&["lok", "x"], "unrecognized subcommand 'lok'"),
    ] {
        let ended = fibpro(arguments);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
        assert!(
            ended.stderr.contains(words),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn a_refused_url_shows_no_secret() {
    for url in [
        "http://admin:canary@127.0.0.1:9002",
        "http://admin:can/canary@127.0.0.1:9002",
        "http://127.0.0.1:9002/?token=canary",
        "http://127.0.0.1:9002#canary",
    ] {
        let endpoint = format!("pricing={url}");
        for arguments in [
            &["log", "x", "--to", url][..],
            &["status", "--to", url],
            &["flags", "--to", url],
            &["monitor", "--endpoint", &endpoint],
        ] {
            let ended = fibpro(arguments);
            assert_eq!(ended.code, Some(2), "{arguments:?}");
            let printed = format!("{}{}", ended.stdout, ended.stderr);
            assert!(!printed.contains("canary"), "{printed}");
            assert!(printed.contains("invalid server URL"), "{printed}");
        }
    }
}

#[test]
fn the_variable_of_a_wrong_address_is_named() {
    for url in [
        "http://127.0.0.1:99999",
        "http://127.0.0.1:1,http://127.0.0.1:99999",
        "http://u:canary@127.0.0.1:1",
    ] {
        let mut monitor = command(env!("CARGO_BIN_EXE_fibpro"), &["monitor"]);
        let ended: Ended = output(monitor.env("FIBPRO_ENDPOINT_PRICING", url)).into();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let text = "the address of pricing (FIBPRO_ENDPOINT_PRICING): invalid server URL";
        assert!(ended.stderr.contains(text), "{}", ended.stderr);
        assert!(!ended.stderr.contains("canary"), "{}", ended.stderr);
    }
}

#[test]
fn services_lists_what_is_linked() {
    let ended = fibpro(&["services"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    for line in [
        "fibpro.v1.LogSink   endpoint logsink",
        "  recv_log(message: &str, level: Level (optional)) -> Result<bool>",
        "      POST /fibpro.v1.LogSink/RecvLog",
        "  ping() -> Result<Pong>",
    ] {
        assert!(
            ended.stdout.lines().any(|printed| printed == line),
            "{line}\n\n{}",
            ended.stdout
        );
    }
    let json: Value = serde_json::from_str(&fibpro(&["services", "--json"]).stdout).unwrap();
    let logsink = json
        .as_array()
        .unwrap()
        .iter()
        .find(|service| service["endpoint"] == "logsink")
        .unwrap();
    assert_eq!(logsink["name"], "fibpro.v1.LogSink");
    let level = &logsink["methods"][0]["arguments"][1];
    assert_eq!(
        (&level["name"], &level["type"], &level["optional"]),
        (&"level".into(), &"Level".into(), &true.into())
    );
}

#[test]
fn status_prints_what_a_server_says_of_itself() {
    let sink = LogSink::start();
    assert_eq!(sink.call("RecvLog", r#"{"message":"a"}"#).status, 200);
    assert_eq!(sink.call("RecvLog", r#"{"message":1}"#).status, 400);
    let ended = fibpro(&["status", "--to", &sink.url]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let lines: Vec<_> = ended.stdout.lines().collect();
    let server = format!("logsink@prod/{}   version 0.1.0, ", sink.address());
    assert!(lines[0].starts_with(&server), "{ended:?}");
    assert!(lines[2].starts_with("METHOD "), "{ended:?}");
    let row = lines
        .iter()
        .position(|line| line.starts_with("fibpro.v1.LogSink/RecvLog "))
        .unwrap();
    let cells: Vec<_> = lines[row].split_whitespace().collect();
    assert_eq!(cells[1..5], ["2", "0", "0", "1"], "{ended:?}");
    assert!(cells[6] == "µs" || cells[6] == "ms", "{ended:?}");
    assert_eq!(lines[row + 1], "  1 invalid_argument");
    assert!(!ended.stdout.contains("rpc.v1.Status"), "{ended:?}");

    let ended = fibpro(&["status", "--json", "--to", &sink.url]);
    let status: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(status["server"], "logsink");
    assert_eq!(status["total"]["requests"], 2, "{status}");
    assert_eq!(status["total"]["shed"], 0);
    assert_eq!(status["outgoing"], serde_json::json!([]));
}

#[test]
fn flags_shows_and_sets_the_flags_of_a_running_server() {
    let mut sink = LogSink::start();
    let ended = fibpro(&["flags", "--to", &sink.url]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "log_rpc = false   from default",
            "    dynamic, `true` or `false`, default false"
        ],
        "{ended:?}"
    );
    assert!(
        lines[2].starts_with("    Writes a line for each call"),
        "{ended:?}"
    );

    let ended = fibpro(&["flags", "log_rpc=true", "--to", &sink.url]);
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
        (Some(0), "log_rpc = true   from run time\n", "")
    );
    let audit = sink.wait_for_stderr("flag changed");
    for words in [
        "INFO",
        "rpc.audit",
        "log_rpc",
        "\"false\"",
        "\"true\"",
        "fibpro@prod/",
    ] {
        assert!(audit.contains(words), "{words}: {audit}");
    }
    assert_eq!(
        sink.call("RecvLog", r#"{"message":"test_msg"}"#).status,
        200
    );
    let line = sink.wait_for_stderr("RPC ");
    assert!(
        line.contains(r#" -->logsink:recv_log(message="test_msg") ok "#),
        "{line}"
    );

    let ended = fibpro(&["flags", "--reset", "log_rpc", "--to", &sink.url]);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "log_rpc = false   from default\n")
    );
}

#[test]
fn flags_says_why_a_value_is_refused() {
    let sink = LogSink::start_on(&["--listen", "127.0.0.1:0", "--flag", "log_rpc=true"]);
    for (setting, words) in [
        (
            "log_rpc=maybe",
            "error: invalid_argument: flag log_rpc not changed: invalid value `maybe`: ",
        ),
        (
            "log_rcp=true",
            "error: not_found: unknown flag log_rcp; did you mean log_rpc?",
        ),
    ] {
        let ended = fibpro(&["flags", setting, "--to", &sink.url]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
        assert!(ended.stderr.starts_with(words), "{ended:?}");
    }
    let ended = fibpro(&["flags", "log_rpc", "--to", &sink.url]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let ended = fibpro(&["flags", &sink.url]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("use `--to URL`"), "{ended:?}");
    let ended = fibpro(&["flags", "--to", &sink.url]);
    assert!(
        ended
            .stdout
            .starts_with("log_rpc = true   from command line\n"),
        "{ended:?}"
    );
}

#[test]
fn a_rejected_flag_ends_the_start_with_a_reason() {
    for (arguments, variable, words) in [
        (
            &["--flag", "log_rpc=maybe"][..],
            None,
            "error: command line: flag log_rpc not changed: invalid value `maybe`: ",
        ),
        (
            &["--flag", "log_rcp=true"],
            None,
            "error: command line: unknown flag log_rcp; did you mean log_rpc?",
        ),
        (&["--flag", "log_rpc"], None, "write `--flag NAME=VALUE`"),
        (
            &["--flags-file", "/nowhere/flags"],
            None,
            "error: --flags-file (RPC_FLAGS_FILE): failed to read the flags file /nowhere/flags: ",
        ),
        (
            &[],
            Some(("RPC_FLAG_LOG_RPC", "1")),
            "error: RPC_FLAG_LOG_RPC: flag log_rpc not changed: invalid value `1`",
        ),
        (
            &[],
            Some(("RPC_FLAG_LOG", "1")),
            "error: RPC_FLAG_LOG: unknown flag log",
        ),
    ] {
        let mut command = crate::process::logsink(&["--listen", "127.0.0.1:0"]);
        command.args(arguments).envs(variable);
        let ended = output(&mut command);
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert_eq!((ended.status.code(), &*ended.stdout), (Some(1), &b""[..]));
        assert!(stderr.contains(words), "{stderr}");
    }
}

#[test]
fn alone_it_prints_its_help() {
    let ended = fibpro(&[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(
        ended.stdout.contains("Usage: fibpro [COMMAND]") && ended.stdout.contains("services"),
        "{ended:?}"
    );
}
