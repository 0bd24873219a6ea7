//! Forms that others hold: files, databases, messages, options, exit codes. The expectations are
//! the files of `tests/pinned`.
//!
//! A failure here means that an existing client, script, database or file stops working. New
//! fields, options and services are added to an expectation; nothing in it is changed or removed.
//!
//! The options and ports of the command are pinned by `src/command/pinned.rs`, where they can be
//! reached.

// What each command ends with.
mod exit_codes;
// Lines and JSON of the log sink, of `fibpro log` and of `fibpro logs`.
mod logs;
// JSON of all messages, and of the errors of all services.
mod messages;
// JSON of the monitor, and the addresses that it looks at.
mod monitor;
// Tables of both databases, and what stands in them.
mod stored;
// Which users files are accepted.
mod users_file;

/// Compares a text with an expectation of `tests/pinned`.
macro_rules! assert_pinned {
    ($file:literal, $actual:expr) => {
        $crate::pinned::compare(
            $file,
            include_str!(concat!("../../pinned/", $file)),
            &$actual,
        )
    };
}
use assert_pinned;

/// Panics with the first line that differs, and with the whole text.
#[track_caller]
fn compare(file: &str, expected: &str, actual: &str) {
    if expected == actual {
        return;
    }
    let mut lines = (1..).zip(expected.lines().zip(actual.lines()));
    let differs = lines.find(|(_, (expected, actual))| expected != actual);
    panic!("{file} differs at {differs:?}; now it is\n-----\n{actual}-----");
}

/// JSON with its keys in order and each value as its type: what a reader of it holds.
fn shape(json: &str) -> String {
    let mut out = String::new();
    let mut rest = json;
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            let (text, after) = string(rest);
            let is_key = after.trim_start().starts_with(':');
            out.push_str(if is_key { text } else { "\"text\"" });
            rest = after;
        } else if c.is_ascii_digit() || c == '-' {
            let end = rest.find([',', '}', ']', '\n']).unwrap_or(rest.len());
            let is_whole = rest[..end].parse::<i64>().is_ok();
            out.push_str(if is_whole { "1" } else { "1.5" });
            rest = &rest[end..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// Splits a JSON string off, with its quotes.
fn string(json: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let end = json.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        ends
    });
    json.split_at(end.unwrap().0 + 1)
}

#[test]
fn a_shape_has_keys_and_types() {
    let json = r#"{"a": "x\"y: \\", "b": [1, -2.5, null], "c": {"d": true}}"#;
    let expected = r#"{"a": "text", "b": [1, 1.5, null], "c": {"d": true}}"#;
    assert_eq!(shape(json), expected);
}
