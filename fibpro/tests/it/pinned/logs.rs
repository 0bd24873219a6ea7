//! Lines and JSON of the log sink, of `fibpro log` and of `fibpro logs`.

use serde_json::{Value, json};

use crate::pinned::{assert_pinned, shape};
use crate::process::{LogSink, fibpro};

#[test]
fn log_forms_are_as_pinned() {
    let sink = LogSink::start();
    let batch = json!({"records": [
        {"source": "userstore@prod/127.0.0.1:9003", "epoch": 7, "sequence": 1, "request_id": "3b9d41f8a0c2e576",
         "time": "2026-11-22T12:25:34.021934Z", "level": "info", "target": "fibpro::service",
         "text": "Credit for username incremented -1 yielding 3"},
        {"source": "pricing@dev/a1", "time": "2026-11-22T12:25:35Z", "level": "error", "text": "two\nlines\u{1b}[2K"},
        {"source": "pricing@dev/a1", "time": "2026-11-22T12:25:36Z", "level": "warn", "text": "three"},
        {"source": "controller@prod/c", "time": "2026-11-22T12:25:37Z", "level": "debug", "text": "four"},
    ]});
    let appended = sink.call("Append", &batch.to_string());
    assert_eq!(appended.body, json!({"result": 4}));
    let text = fibpro(&["logs", "--to", &sink.url]).stdout;
    let json = fibpro(&["logs", "--json", "--to", &sink.url]).stdout;
    let accepted = fibpro(&["log", "by hand", "--to", &sink.url]).stdout;
    let page = sink.call("Query", r#"{"level": "error"}"#).body;
    let status = fibpro(&["status", "--json", "--to", &sink.url]).stdout;
    let status = status.replace(&sink.url, "URL");
    let printed = sink.printed();
    let printed: Vec<_> = printed.lines().take(4).collect();
    let printed = printed.join("\n");
    let page = without_ids(&page.to_string());
    assert_pinned!(
        "logs.txt",
        format!(
            "standard output of logsink\n{printed}\n\n\
             fibpro logs\n{text}\n\
             fibpro logs --json\n{}\n\
             fibpro log\n{accepted}\n\
             POST /fibpro.v1.LogSink/Query\n{page}\n",
            without_ids(&json),
        )
    );
    assert_pinned!("status.txt", shape(&status));
}

/// Ids are times, and no two runs have the same.
fn without_ids(json: &str) -> String {
    let mut out = json.to_owned();
    for line in json.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let records = value["records"].as_array().cloned();
        let ids = records.unwrap_or_else(|| vec![value.clone()]);
        for id in ids
            .iter()
            .map(|logged| &logged["id"])
            .chain([&value["next"]])
        {
            if let Some(id) = id.as_u64() {
                out = out.replace(&id.to_string(), "1");
            }
        }
    }
    out
}
