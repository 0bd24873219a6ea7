//! The log lines and the monitor's table in the README are those of the programs.

use serde_json::Value;

use crate::process::{command, fibpro, output};
use crate::up::Up;

const README: &str = include_str!("../../README.md");

/// Returns the lines that follow a command in the README, up to the end of its block.
fn shown(command: &str) -> Vec<&'static str> {
    let mut lines = README.lines();
    assert!(
        lines.any(|line| line.starts_with(command)),
        "the README has no line `{command}`"
    );
    lines.take_while(|line| !line.starts_with("```")).collect()
}

/// Replaces what differs between two runs: IDs and numbers, and the spaces that align them.
/// Documents have `LINE` in place of the number of a line.
fn form(line: &str, id: &str) -> String {
    let line = line.replace(id, "ID").replace(".rs:LINE", ".rs:0");
    let mut form = String::new();
    for word in line.split_whitespace() {
        let mut last = ' ';
        for letter in word.chars() {
            let letter = if letter.is_ascii_digit() { 'N' } else { letter };
            // A number of any length, also with a fraction.
            if letter != 'N' || last != 'N' {
                form.push(letter);
            }
            last = letter;
        }
        form.push(' ');
    }
    form
}

/// Spends all credit, is refused once, and returns the ID of the refused request.
fn refused_purchase(up: &Up) -> String {
    for (path, status) in [("/10", 200), ("/42", 200), ("/7", 403)] {
        let response = up.get(path);
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")),
            "{response}"
        );
        if status == 403 {
            let mut lines = response.lines();
            let id = lines.find_map(|line| line.strip_prefix("x-request-id: "));
            return id.expect(&response).to_owned();
        }
    }
    unreachable!("the last purchase is refused")
}

#[test]
fn a_refused_purchase_has_the_lines_of_the_readme() {
    let up = Up::start(&[]);
    let id = refused_purchase(&up);
    let key = up.key();
    let to = up.url("logsink").to_owned();
    let search = [
        "logs",
        "--request",
        &id,
        "--to",
        &to,
        "--identity-key-file",
        &key,
    ];
    let expected = shown("$ fibpro logs --request 7ae36dc27eca993b");
    let mut found = String::new();
    crate::up::until("the lines of the refusal", || {
        found = fibpro(&search).stdout;
        found.lines().count() >= expected.len()
    });
    // Lines that come after the expected ones would have been exported with these.
    let again = fibpro(&search).stdout;
    assert_eq!(found, again);
    let form_of = |lines: Vec<&str>, id: &str| -> Vec<String> {
        lines.into_iter().map(|line| form(line, id)).collect()
    };
    assert_eq!(
        form_of(found.lines().collect(), &id),
        form_of(expected, "7ae36dc27eca993b"),
        "{found}"
    );
}

#[test]
fn a_refused_purchase_is_no_error_in_the_monitor() {
    let up = Up::start(&[]);
    refused_purchase(&up);
    let monitor = |arguments: &[&str]| {
        let mut command = command(env!("CARGO_BIN_EXE_monitor"), arguments);
        command.args(up.endpoints());
        let key = up.key();
        let ended = output(command.args(["--identity-key-file", &key]));
        String::from_utf8(ended.stdout).unwrap()
    };
    // The columns with equal values in each run.
    let columns = |line: &str, names: &str| -> Vec<String> {
        let names: Vec<_> = names.split_whitespace().collect();
        // A duration is two words.
        let line = line
            .replace(" ms", "ms")
            .replace(" µs", "µs")
            .replace(" s ", "s ");
        let cells: Vec<_> = line.split_whitespace().collect();
        assert_eq!(cells.len(), names.len(), "{line}");
        let is_fixed = |name: &str| !["LATENCY", "P50", "P99", "ADDRESS"].contains(&name);
        let row = names.iter().zip(cells).filter(|(name, _)| is_fixed(name));
        // The log sink counts batches of records, as many as the time allows.
        let row = row.filter(|(name, _)| **name != "REQUESTS" || !line.starts_with("logsink"));
        row.map(|(name, cell)| format!("{name} {cell}")).collect()
    };
    let rows = |lines: &[&str]| -> Vec<Vec<String>> {
        let rows = lines[1..].iter();
        rows.map(|line| columns(line, lines[0])).collect()
    };
    let text = monitor(&[]);
    let expected = shown("$ cargo run -p fibpro --bin monitor ");
    let seen: Vec<_> = text.lines().collect();
    assert_eq!(
        seen[0].split_whitespace().collect::<Vec<_>>(),
        expected[0].split_whitespace().collect::<Vec<_>>()
    );
    assert_eq!(rows(&seen), rows(&expected), "{text}");

    let services: Value = serde_json::from_str(&monitor(&["--json"])).unwrap();
    for service in services.as_array().unwrap() {
        assert_eq!(service["errors"], 0, "{service}");
        assert_eq!(service["failed"], service["refused"], "{service}");
    }
}
