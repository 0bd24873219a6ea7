//! The log sink's store with real processes: curl, `fibpro logs`, kill -9, restart.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use serde_json::{Value, json};

use crate::process::{Ended, Folder, LogSink, POLLS, RunningCommand, fibpro, logsink, output};

fn record(sequence: u64, text: &str) -> Value {
    json!({"source": "userstore@prod/a1", "epoch": 1, "sequence": sequence, "level": "warn",
        "request_id": "3b9d41f8a0c2e576", "time": "2026-11-22T12:25:34.021Z", "text": text})
}

fn texts(page: &Value) -> Vec<&str> {
    let records = page["records"].as_array().unwrap().iter();
    records
        .map(|logged| logged["record"]["text"].as_str().unwrap())
        .collect()
}

#[test]
fn what_was_logged_is_found_by_curl() {
    let sink = LogSink::start();
    let batch = json!({"records": [record(1, "one"), record(2, "two"), record(1, "one")]});
    let appended = sink.call("Append", &batch.to_string());
    assert_eq!(
        (appended.status, &appended.body),
        (200, &json!({"result": 2}))
    );
    assert_eq!(
        sink.call("Append", &batch.to_string()).body,
        json!({"result": 0})
    );
    assert_eq!(
        sink.call("RecvLog", r#"{"message": "by hand", "level": "debug"}"#)
            .status,
        200
    );
    let all = sink.call("Query", "{}").body;
    assert_eq!(texts(&all), ["one", "two", "by hand"]);
    assert_eq!(all["records"][0]["record"], record(1, "one"));
    assert_eq!(all["records"][2]["record"]["source"], "-@prod/-");
    assert_eq!(all["more"], false);
    for (query, found) in [
        (
            json!({"request_id": "3b9d41f8a0c2e576", "limit": 1}),
            vec!["two"],
        ),
        (
            json!({"requestId": "3b9d41f8a0c2e576", "level": null}),
            vec!["one", "two"],
        ),
        (json!({"level": "warn", "text": "TW"}), vec!["two"]),
        (
            json!({"after": all["records"][0]["id"]}),
            vec!["two", "by hand"],
        ),
        (json!({"after": all["next"], "waitMs": 1}), vec![]),
    ] {
        let response = sink.call("Query", &query.to_string());
        assert_eq!(texts(&response.body), found, "{query}");
    }
    for (query, message) in [
        (
            r#"{"level": "severe"}"#,
            "level: unknown variant `severe`, expected one of `debug`, `info`, `warn`, `error`",
        ),
        (
            r#"{"limit": 0}"#,
            "limit: must be 1 to 10000 records, not 0",
        ),
    ] {
        let response = sink.call("Query", query);
        assert_eq!((response.status, response.message()), (400, message));
    }
    let typo = sink.call("Query", r#"{"request": "3b9d41f8a0c2e576"}"#);
    assert_eq!(
        typo.status, 400,
        "a condition that is ignored would find too much"
    );
    assert!(
        typo.message().contains("unknown field `request`"),
        "{typo:?}"
    );
    let id = all["records"][2]["record"]["request_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        sink.printed(),
        format!(
            "[prod_userstore] 3b9d41f8a0c2e576 one\n[prod_userstore] 3b9d41f8a0c2e576 two\n[prod_-] {id} by hand\n"
        )
    );
}

#[test]
fn g03_fibpro_logs_prints_the_lines_of_a_request() {
    let sink = LogSink::start();
    let forged = "paid\n[prod_controller] - forged\u{1b}[2K";
    let batch = json!({"records": [record(1, forged), {"source": "pricing@dev/b", "time": "2026-11-22T12:25:35Z", "text": "other"}]});
    assert_eq!(sink.call("Append", &batch.to_string()).status, 200);
    let logs = |arguments: &[&str]| {
        let all = [&["logs", "--to", &sink.url], arguments].concat();
        let ended = fibpro(&all);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    };
    let line = "2026-11-22T12:25:34.021Z warn  [prod_userstore] 3b9d41f8a0c2e576 \
         paid\\n[prod_controller] - forged\\u{1b}[2K\n";
    let other = "2026-11-22T12:25:35.000Z info  [dev_pricing] - other\n";
    for (arguments, stdout) in [
        (&["--request", "3b9d41f8a0c2e576"][..], line.to_owned()),
        (&["--source", "pricing"], other.to_owned()),
        (&["--level", "warn"], line.to_owned()),
        (&["--text", "PAID"], line.to_owned()),
        (&["--since", "2026-11-22T12:25:35Z"], other.to_owned()),
        (&["--until", "2026-11-22T12:25:35Z"], line.to_owned()),
        (&[], format!("{line}{other}")),
    ] {
        let ended = logs(arguments);
        assert_eq!(
            (ended.stdout, ended.stderr),
            (stdout, String::new()),
            "{arguments:?}"
        );
    }
    let last = logs(&["--limit", "1"]);
    assert_eq!(last.stdout, other);
    assert_eq!(last.stderr, "more records match; these are the last 1\n");
    let none = logs(&["--request", "nobody"]);
    assert_eq!(
        (none.stdout.as_str(), none.stderr.as_str()),
        ("", "no record matches\n")
    );
    let json = logs(&["--json", "--request", "3b9d41f8a0c2e576"]);
    assert_eq!(json.stdout.lines().count(), 1);
    let logged: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(logged["record"], record(1, forged));
    for (arguments, words) in [
        (
            &["--level", "severe"][..],
            "expected one of `debug`, `info`, `warn`, `error`",
        ),
        (
            &["--since", "yesterday"],
            "expected a duration before now, such as `5m`",
        ),
        (
            &["--request", "a b"],
            "invalid request ID: expected 1 to 64",
        ),
        (&["--limit", "0"], "0 is not in 1..=10000"),
    ] {
        let ended = fibpro(&[&["logs"], arguments].concat());
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
    let wrong = fibpro(&["logs", "--source", "a b", "--to", &sink.url]);
    assert_eq!(wrong.code, Some(1));
    assert!(
        wrong
            .stderr
            .starts_with("error: invalid_argument: source: \"a b\"; write"),
        "{wrong:?}"
    );
}

#[test]
fn following_logs_survives_restart_and_ends_on_ctrl_c() {
    let folder = Folder::new();
    let store = folder.file("logs.sqlite");
    let sink = LogSink::start_with(&store);
    let append = |sink: &LogSink, sequence, text: &str| {
        let batch = json!({"records": [record(sequence, text)]});
        assert_eq!(
            sink.call("Append", &batch.to_string()).body,
            json!({"result": 1})
        );
    };
    append(&sink, 1, "old");
    let mut following = RunningCommand::fibpro(&[
        "logs",
        "--follow",
        "--source",
        "userstore",
        "--to",
        &sink.url,
    ]);
    let line =
        |text| format!("2026-11-22T12:25:34.021Z warn  [prod_userstore] 3b9d41f8a0c2e576 {text}");
    assert_eq!(following.line(), line("old"));
    append(&sink, 2, "new");
    assert_eq!(following.line(), line("new"));

    // A waiting search does not delay the shutdown; its caller continues after the restart.
    let address = sink.address().to_owned();
    sink.terminate();
    let ended = sink.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        following
            .stderr_line()
            .starts_with("waiting for the log sink: ")
    );
    let sink = LogSink::start_on(&["--listen", &address, "--store", store.to_str().unwrap()]);
    append(&sink, 3, "after");
    assert_eq!(following.line(), line("after"));
    assert_eq!(following.stderr_line(), "the log sink responds again");

    following.interrupt();
    let ended = following.ended();
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
        (Some(0), "", "")
    );

    // A reader that closes the pipe early is not a failure.
    let mut following = RunningCommand::fibpro(&["logs", "-f", "--to", &sink.url]);
    assert_eq!(following.line(), line("old"));
    following.close_stdout();
    append(&sink, 4, "last");
    assert_eq!(following.ended().code, Some(0));
}

#[test]
fn kill_9_loses_and_duplicates_no_accepted_record() {
    let folder = Folder::new();
    let store = folder.file("logs.sqlite");
    let sink = LogSink::start_with(&store);
    let batch = |epoch: u64, number: u64| {
        let records: Vec<_> = (1..=50)
            .map(|index| {
                let sequence = number * 50 + index;
                json!({"source": "a@prod/1", "epoch": epoch, "sequence": sequence,
                    "time": "2026-11-22T12:25:34Z", "text": format!("{epoch}:{sequence}")})
            })
            .collect();
        json!({ "records": records }).to_string()
    };
    // Three clients append as fast as they can, until the connection is gone.
    let senders: Vec<_> = (1..=3_u64)
        .map(|epoch| {
            let address = sink.address().to_owned();
            let bodies: Vec<_> = (0..2000).map(|number| batch(epoch, number)).collect();
            thread::spawn(move || {
                let answered = bodies
                    .iter()
                    .take_while(|body| append(&address, body).is_some());
                answered.count() as u64
            })
        })
        .collect();
    // Killed under load: after the first hundred records.
    let stored_enough = (0..POLLS)
        .any(|_| sink.call("Query", r#"{"after": 0, "limit": 101}"#).body["more"] == true);
    assert!(stored_enough, "nothing is stored");
    sink.kill();
    let answered: Vec<_> = senders
        .into_iter()
        .map(|sender| sender.join().unwrap())
        .collect();
    assert!(
        answered.iter().all(|batches| *batches < 2000),
        "{answered:?}"
    );

    let sink = LogSink::start_with(&store);
    let before = stored(&sink);
    for (epoch, batches) in (1..).zip(&answered) {
        for sequence in 1..=batches * 50 {
            assert_eq!(
                before.get(&format!("{epoch}:{sequence}")),
                Some(&1),
                "{epoch}:{sequence}"
            );
        }
        // Unacknowledged records are sent again, with a few acknowledged ones.
        for number in batches.saturating_sub(2)..batches + 2 {
            assert!(append(sink.address(), &batch(epoch, number)).is_some());
        }
    }
    let after = stored(&sink);
    let expected = answered
        .iter()
        .map(|batches| (batches + 2) * 50)
        .sum::<u64>();
    assert_eq!(after.len() as u64, expected);
    assert!(after.values().all(|times| *times == 1));
    assert_eq!(sink.call("Append", &batch(1, 0)).body, json!({"result": 0}));
}

/// Appends a batch; returns `None` when the connection breaks before the response.
fn append(address: &str, body: &str) -> Option<()> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    let head = format!(
        "POST /rpc.v1.Logs/Append HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    response.starts_with("HTTP/1.1 200 ").then_some(())
}

/// Counts how often each text is in the store.
fn stored(sink: &LogSink) -> HashMap<String, u32> {
    let mut stored = HashMap::new();
    let mut after = json!(0);
    loop {
        let page = sink
            .call(
                "Query",
                &json!({"after": after, "limit": 10_000}).to_string(),
            )
            .body;
        for text in texts(&page) {
            *stored.entry(text.to_owned()).or_default() += 1;
        }
        after = page["next"].clone();
        if page["more"] == false {
            return stored;
        }
    }
}

#[test]
fn sigterm_leaves_one_complete_file() {
    let folder = Folder::new();
    for round in 1..=3 {
        let mut sink = LogSink::start_with(&folder.file("logs.sqlite"));
        sink.discard_stdout();
        for n in 0..20 {
            let batch = json!({"records": [record(round * 100 + n, "text")]});
            assert_eq!(sink.call("Append", &batch.to_string()).status, 200);
        }
        // Readers have their connections.
        assert_eq!(sink.call("Query", "{}").status, 200);
        sink.terminate();
        assert_eq!(sink.ended().code, Some(0));
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["logs.sqlite", "logs.sqlite.lock"]);
    }
    // A copy of this one file has all records.
    let copy = folder.file("copy.sqlite");
    std::fs::copy(folder.file("logs.sqlite"), &copy).unwrap();
    let sink = LogSink::start_with(&copy);
    assert_eq!(texts(&sink.call("Query", "{}").body).len(), 60);
}

#[test]
fn sigterm_prints_and_stores_all_accepted_records() {
    let folder = Folder::new();
    let store = folder.file("logs.sqlite");
    let sink = LogSink::start_with(&store);
    let batch = json!({"records": [record(1, "one"), record(2, "two")]});
    assert_eq!(
        sink.call("Append", &batch.to_string()).body,
        json!({"result": 2})
    );
    let printed = sink.printed();
    assert_eq!(printed.lines().count(), 2);
    assert!(!folder.file("logs.sqlite-wal").exists(), "closed in order");
    let mode = std::fs::metadata(&store).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "logs tell of people");
    let sink = LogSink::start_with(&store);
    assert_eq!(texts(&sink.call("Query", "{}").body), ["one", "two"]);
    assert_eq!(
        sink.call("Append", &batch.to_string()).body,
        json!({"result": 0})
    );
    assert_eq!(sink.printed(), "");
}

#[test]
fn an_unopenable_store_is_one_line_and_lines_print() {
    let folder = Folder::new();
    std::fs::write(folder.file("data"), "").unwrap();
    let store = folder.file("data").join("logs.sqlite");
    let mut sink = LogSink::start_with(&store);
    let line = sink.wait_for_stderr("cannot store log records");
    assert!(
        line.contains(&format!(
            "{}: the log store cannot be opened (",
            store.display()
        )) && line.contains("or choose another file with `--store FILE`"),
        "{line}"
    );
    let response = sink.call("RecvLog", r#"{"message": "test_msg"}"#);
    assert_eq!(
        (response.status, response.message()),
        (
            503,
            "cannot store log records: the log store cannot be opened"
        )
    );
    sink.terminate();
    let ended = sink.ended();
    assert!(ended.stdout.ends_with(" test_msg\n"), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("error: 1 log records were not stored: "),
        "{ended:?}"
    );
    assert_eq!(ended.code, Some(1));
}

#[test]
fn the_store_is_an_option_and_has_a_size() {
    let sink = LogSink::start_on(&["--listen", "127.0.0.1:0", "--store", "none"]);
    assert_eq!(
        sink.call("RecvLog", r#"{"message": "test_msg"}"#).body,
        json!({"result": true})
    );
    let response = sink.call("Query", "{}");
    assert_eq!(
        (response.status, response.code()),
        (400, "failed_precondition")
    );
    assert!(sink.printed().ends_with(" test_msg\n"));
    for (size, words) in [
        ("64MB", "unknown unit `MB`, expected `KiB`, `MiB` or `GiB`"),
        ("1MiB", "must be from 16 MiB to 8589934591 GiB"),
        ("-1", "expected a whole number"),
        ("99999999999GiB", "must be from 16 MiB to 8589934591 GiB"),
    ] {
        let ended: Ended = output(&mut logsink(&[&format!("--store-bytes={size}")])).into();
        assert_eq!(ended.code, Some(2), "{size}");
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}
