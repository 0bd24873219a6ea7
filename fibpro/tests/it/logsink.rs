//! The log sink in its own process: requests by curl, signals, ports, closed pipes.

use std::io::Write as _;
use std::thread;

use serde_json::json;

use crate::process::{Ended, HttpResponse, LogSink, fibpro, logsink, output};

#[test]
fn d03_records_are_accepted_and_an_empty_one_is_not() {
    let sink = LogSink::start();
    let one = sink.call("RecvLog", r#"{"message": "test_msg", "level": "warn"}"#);
    let default = sink.call("RecvLog", r#"{"message": "no level"}"#);
    let null = sink.call("RecvLog", r#"{"message": "level null", "level": null}"#);
    let empty = sink.call("RecvLog", r#"{"message": ""}"#);
    for response in [&one, &default, &null] {
        assert_eq!(
            (response.status, &response.body),
            (200, &json!({"result": true}))
        );
    }
    assert_eq!(
        (empty.status, &empty.body),
        (200, &json!({"result": false}))
    );
    let id = |response: &HttpResponse| response.header("x-request-id").unwrap().to_owned();
    let lines = [
        format!("[prod_-] {} test_msg\n", id(&one)),
        format!("[prod_-] {} no level\n", id(&default)),
        format!("[prod_-] {} level null\n", id(&null)),
    ];
    assert_eq!(sink.printed(), lines.concat());
}

#[test]
fn d04_a_wrong_call_names_the_argument() {
    let sink = LogSink::start();
    let record = |more: &str| {
        let good = r#"{"source": "a@prod/1", "time": "2026-11-22T12:25:34Z", "text": "x"}"#;
        format!(r#"{{"records": [{good}, {{{more}}}]}}"#)
    };
    let time = r#""time": "2026-11-22T12:25:34Z""#;
    let words = "unknown variant `severe`, expected one of `debug`, `info`, `warn`, `error`";
    let source = "invalid source: expected `server@environment/instance`, each part 1 to 64 letters, digits, `.`, `_` or `-`; the instance may be an address";
    let id = "invalid request ID: expected 1 to 64 letters, digits, `.`, `_` or `-`";
    for (method, body, place, text) in [
        (
            "RecvLog",
            r#"{"message": "x", "level": "severe"}"#.to_owned(),
            "level",
            words,
        ),
        (
            "RecvLogs",
            record(&format!(
                r#""source": "b@prod/1", {time}, "text": "x", "level": "severe""#
            )),
            "records[1].level",
            words,
        ),
        (
            "RecvLogs",
            record(&format!(r#""source": "b", {time}, "text": "x""#)),
            "records[1].source",
            source,
        ),
        (
            "RecvLogs",
            record(&format!(r#""source": "b c@prod/1", {time}, "text": "x""#)),
            "records[1].source",
            source,
        ),
        (
            "RecvLogs",
            record(&format!(
                r#""source": "b@prod/1", {time}, "text": "x", "request_id": "a b""#
            )),
            "records[1].request_id",
            id,
        ),
        (
            "RecvLogs",
            record(&format!(
                r#""source": "b@prod/1", {time}, "text": "x", "requestId": "a\nb""#
            )),
            "records[1].requestId",
            id,
        ),
        (
            "RecvLogs",
            record(r#""source": "b@prod/1", "text": "x""#),
            "records[1]",
            "missing field `time`",
        ),
    ] {
        let response = sink.call(method, &body);
        assert_eq!(
            (response.status, response.code()),
            (400, "invalid_argument"),
            "{body}"
        );
        assert_eq!(response.message(), format!("{place}: {text}"), "{body}");
        let violation = &response.body["details"][0]["debug"]["fieldViolations"][0];
        assert_eq!(
            violation,
            &json!({"field": place, "description": text}),
            "{body}"
        );
    }
    let response = sink.call(
        "RecvLogs",
        &record(r#""source": "b@prod/1", "time": "yesterday", "text": "x""#),
    );
    assert!(
        response.message().starts_with("records[1].time: "),
        "{response:?}"
    );
    // The valid record in the same batch as an invalid one was not printed either.
    assert_eq!(sink.printed(), "");
}

#[test]
fn a_batch_prints_in_order_with_each_records_source() {
    let sink = LogSink::start();
    let response = sink.call(
        "RecvLogs",
        &json!({"records": [
            {"source": "userstore@prod/127.0.0.1:9003", "request_id": "3b9d41f8a0c2e576",
             "time": "2026-11-22T12:25:34.021Z", "text": "Credit for username incremented -1 yielding 3"},
            {"source": "pricing@dev/a1", "time": "2026-11-22T13:25:34+01:00", "level": "debug", "text": "up"},
            {"source": "pricing@dev/a1", "time": "2026-11-22T12:25:34Z", "level": "error", "text": ""},
            {"source": "controller@prod/c", "requestId": "r691d2572a8b729c8", "time": "2026-11-22T12:25:35Z", "text": "paid"},
        ]})
        .to_string(),
    );
    assert_eq!(
        (response.status, &response.body),
        (200, &json!({"result": 3}))
    );
    assert_eq!(
        sink.printed(),
        "[prod_userstore] 3b9d41f8a0c2e576 Credit for username incremented -1 yielding 3\n\
         [dev_pricing] - up\n\
         [prod_controller] r691d2572a8b729c8 paid\n"
    );
}

#[test]
fn g05_a_local_peer_is_trusted_with_source_and_id() {
    let sink = LogSink::start();
    let headers =
        "x-request-id: r691d2572a8b729c8\r\nx-rpc-source: userstore@dev/127.0.0.1:9103\r\n";
    let response = sink.call_with(
        "RecvLog",
        headers,
        r#"{"message": "Credit for username set to 4"}"#,
    );
    assert_eq!(response.header("x-request-id"), Some("r691d2572a8b729c8"));
    assert_eq!(
        sink.printed(),
        "[dev_userstore] r691d2572a8b729c8 Credit for username set to 4\n"
    );
}

#[test]
fn g09_nothing_in_a_call_forges_a_line() {
    let sink = LogSink::start();
    let forged =
        "x\n[prod_controller] 3b9d41f8a0c2e576 username used 0 credit\r\u{1b}[2K\u{2028}\u{202e}";
    let headers = "x-request-id: a b\r\nx-rpc-source: evil] 1 @prod/1\r\n";
    let one = sink.call_with(
        "RecvLog",
        headers,
        &json!({ "message": forged }).to_string(),
    );
    let batch = json!({"records": [{"source": "a@prod/1", "time": "2026-11-22T12:25:34Z", "text": forged}]});
    assert_eq!(sink.call("RecvLogs", &batch.to_string()).status, 200);
    let shown =
        r"x\n[prod_controller] 3b9d41f8a0c2e576 username used 0 credit\r\u{1b}[2K\u{2028}\u{202e}";
    let id = one.header("x-request-id").unwrap().to_owned();
    assert_eq!(
        sink.printed(),
        format!("[prod_-] {id} {shown}\n[prod_a] - {shown}\n")
    );
}

#[test]
fn a_closed_stdout_skips_lines_and_stores_records() {
    let mut sink = LogSink::start();
    sink.close_stdout();
    for _ in 0..3 {
        let response = sink.call("RecvLog", r#"{"message": "x"}"#);
        assert_eq!(
            (response.status, &response.body),
            (200, &json!({"result": true}))
        );
    }
    let found = sink.call("Query", "{}");
    assert_eq!(
        found.body["records"].as_array().unwrap().len(),
        3,
        "{found:?}"
    );
    sink.terminate();
    let ended = sink.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for said in [
        "cannot write log lines: they are skipped",
        "log lines were not written",
    ] {
        assert_eq!(ended.stderr.matches(said).count(), 1, "{}", ended.stderr);
    }
    assert!(ended.stderr.contains("lost=3"), "{}", ended.stderr);
}

#[test]
fn without_a_store_a_closed_stdout_fails_the_call() {
    let mut sink = LogSink::start_on(&["--listen", "127.0.0.1:0", "--store", "none"]);
    sink.close_stdout();
    for _ in 0..3 {
        let response = sink.call("RecvLog", r#"{"message": "x"}"#);
        assert_eq!((response.status, response.code()), (503, "unavailable"));
        assert_eq!(response.message(), "cannot write log lines: broken pipe");
    }
    assert_eq!(sink.call("Ping", "{}").status, 200);
    sink.terminate();
    let ended = sink.ended();
    assert_eq!(
        ended.stderr.matches("unavailable").count(),
        1,
        "{}",
        ended.stderr
    );
    assert!(
        ended
            .stderr
            .ends_with("error: 3 records could not be written to the log\n"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.code, Some(1));
}

#[test]
fn a_slow_reader_delays_records_but_loses_none() {
    let mut sink = LogSink::start();
    // Larger than a pipe's buffer, so the writing thread blocks until the test reads.
    let text = "x".repeat(60 << 10);
    let record = json!({"source": "a@prod/1", "time": "2026-11-22T12:25:34Z", "text": text});
    let body = json!({"records": vec![record; 20]}).to_string();
    let mut call = sink.begin("RecvLogs", "", body.len());
    call.write_all(body.as_bytes()).unwrap();
    assert_eq!(sink.call("Ping", "{}").status, 200);
    sink.terminate();
    sink.wait_for_stderr("stopping");
    let answered = thread::spawn(move || HttpResponse::read(call));
    let ended = sink.ended();
    assert_eq!(ended.stdout, format!("[prod_a] - {text}\n").repeat(20));
    assert_eq!(answered.join().unwrap().body, json!({"result": 20}));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_call_that_has_begun_is_finished_after_sigterm() {
    let mut sink = LogSink::start();
    let body = r#"{"message": "the last one"}"#;
    let mut call = sink.begin("RecvLog", "expect: 100-continue\r\n", body.len());
    // The server asks for the body (100-continue), so the call has begun.
    let mut go_on = [0; 25];
    std::io::Read::read_exact(&mut call, &mut go_on).unwrap();
    assert!(
        go_on.starts_with(b"HTTP/1.1 100 "),
        "{}",
        String::from_utf8_lossy(&go_on)
    );
    sink.terminate();
    sink.wait_for_stderr("stopping");
    call.write_all(body.as_bytes()).unwrap();
    let response = HttpResponse::read(call);
    assert_eq!(response.body, json!({"result": true}));
    let ended = sink.ended();
    assert_eq!(
        ended.stdout,
        format!(
            "[prod_-] {} the last one\n",
            response.header("x-request-id").unwrap()
        )
    );
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_taken_port_is_one_clear_line_and_exit_code_1() {
    let sink = LogSink::start();
    let second: Ended = output(&mut logsink(&["--listen", sink.address()])).into();
    assert_eq!((second.code, second.stdout.as_str()), (Some(1), ""));
    assert!(
        second.stderr.starts_with(&format!(
            "error: --listen (RPC_LISTEN): logsink cannot listen on {}: ",
            sink.address()
        )),
        "{second:?}"
    );
    assert_eq!(second.stderr.lines().count(), 1, "{second:?}");
}

#[test]
fn g04_the_environment_is_an_option() {
    let ended: Ended = output(&mut logsink(&[
        "--environment",
        "a b",
        "--listen",
        "127.0.0.1:0",
    ]))
    .into();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("invalid source: expected"),
        "{ended:?}"
    );
}

#[test]
fn sigterm_drains_and_a_second_one_exits_at_once() {
    let mut sink = LogSink::start_on(&["--listen", "127.0.0.1:0", "--lame-duck", "10m"]);
    sink.terminate();
    sink.wait_for_stderr("lame duck");
    let probe = |path| {
        let mut stream = std::net::TcpStream::connect(sink.address()).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        std::io::read_to_string(stream).unwrap()
    };
    assert!(probe("/healthz").starts_with("HTTP/1.0 200 "));
    assert!(probe("/readyz").starts_with("HTTP/1.0 503 "));
    assert_eq!(sink.call("RecvLog", r#"{"message":"a"}"#).status, 200);
    sink.terminate_again();
    let ended = sink.ended();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("a second SIGTERM"), "{ended:?}");
}

#[test]
fn it_listens_where_told_and_serves_a_unix_socket() {
    let socket = std::env::temp_dir().join(format!("fibpro-{}.sock", std::process::id()));
    let url = format!("unix:{}", socket.display());
    let sink = LogSink::start_on(&["--listen", &url, "--log-format", "json"]);
    assert_eq!(sink.url, url);
    let ended = fibpro(&["log", "test_msg", "--to", &url]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "accepted\n"));
    sink.terminate();
    let ended = sink.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for line in ended.stderr.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect(line);
    }
    assert!(!ended.stderr.is_empty(), "it says that it stops");
    assert!(!socket.exists(), "a socket's file goes with its server");
    std::fs::remove_file(socket.with_extension("sock.lock")).unwrap();
}

#[test]
fn an_output_that_is_not_read_delays_no_record() {
    let mut sink = LogSink::start();
    let text = "x".repeat(60 << 10);
    for _ in 0..6 {
        let response = sink.call("RecvLog", &json!({ "message": text }).to_string());
        assert_eq!(
            (response.status, &response.body),
            (200, &json!({"result": true}))
        );
    }
    sink.wait_for_stderr("the output of log lines takes none");
    let found = sink.call("Query", "{}");
    assert_eq!(found.body["records"].as_array().unwrap().len(), 6);
    sink.terminate();
    // The process goes on until the output takes the rest or its time is over.
    sink.wait_for_stderr("log lines were not written");
    let ended = sink.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}
