//! Pinned external forms: wire, files, options, log fields. Each expectation is a file in
//! `tests/pinned/`.
//!
//! A released version reads and writes these forms, so an expectation is never edited: a new form
//! gets a new file.

/// Built-in services of every server, over HTTP.
mod builtin;
/// Errors as JSON, for services and at an edge.
mod errors;
/// Files written by operators, and the plan of `x-rpc-fault`.
mod files;
/// Header names in both directions.
mod headers;
/// Stored results of calls with an idempotency key.
mod idempotency;
/// Spool files and log records.
mod logs;
/// Command line, environment and default limits.
mod options;
/// Errors with a fixed file and line.
mod origin;
/// Exit codes, variables and log lines of a process.
#[cfg(unix)]
mod processes;

use std::path::Path;

/// Compares with the file `tests/pinned/{name}`.
#[track_caller]
fn expect(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("pinned")
        .join(name);
    let expected = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; found:\n{actual}", path.display()));
    let first = expected
        .lines()
        .zip(actual.lines())
        .find(|(expected, actual)| expected != actual);
    assert!(
        expected.trim_end() == actual.trim_end(),
        "{name}: a form that others hold has changed, first at {first:#?}; found:\n{actual}"
    );
}

/// Replaces the value of each `"key":` by `mask`; keeps its JSON type.
fn mask(json: &str, key: &str) -> String {
    let name = format!("\"{key}\":");
    let mut out = String::new();
    let mut rest = json;
    while let Some((before, after)) = rest.split_once(&name) {
        out.push_str(before);
        out.push_str(&name);
        let length = if let Some(text) = after.strip_prefix('"') {
            out.push_str("\"…\"");
            let mut escaped = false;
            let end = text.bytes().position(|byte| {
                let ends = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            });
            end.unwrap() + 2
        } else {
            let end = after.find([',', '}', ']']).unwrap();
            let is_number = after.as_bytes()[0].is_ascii_digit();
            out.push_str(if is_number { "0" } else { &after[..end] });
            end
        };
        rest = &after[length..];
    }
    out + rest
}

fn mask_all(json: &str, keys: &[&str]) -> String {
    keys.iter()
        .fold(json.to_owned(), |json, key| mask(&json, key))
}
