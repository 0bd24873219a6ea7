//! The tutorial's table of behaviour: each row appears once, the tests it names exist, and each
//! test with the prefix of a row is listed in it.

use std::collections::HashSet;
use std::path::Path;

const TUTORIAL: &str = include_str!("../../TUTORIAL.md");

/// The count of rows for each letter.
const ROWS: [(char, usize); 8] = [
    ('A', 6),
    ('B', 5),
    ('C', 13),
    ('D', 7),
    ('E', 5),
    ('F', 10),
    ('G', 10),
    ('H', 2),
];

/// Collects the names of all functions in a folder of sources.
fn functions(folder: &Path, names: &mut HashSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let behind = text.split("fn ").skip(1);
            names.extend(behind.filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())));
        }
    }
}

/// Returns the rows that a name begins with: `b01` and `c02` of `b01_c02_a_number`.
fn prefixes(name: &str) -> Vec<&str> {
    let is_row = |word: &&str| {
        let bytes = word.as_bytes();
        bytes.len() == 3
            && bytes[0].is_ascii_lowercase()
            && bytes[1..].iter().all(u8::is_ascii_digit)
    };
    name.split('_').take_while(is_row).collect()
}

#[test]
fn every_row_is_in_the_table_and_its_tests_exist() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut names = HashSet::new();
    for folder in ["fibpro/src", "fibpro/tests", "rpc-runtime/src", "tests/it"] {
        functions(&workspace.join(folder), &mut names);
    }
    let expected = ROWS
        .iter()
        .flat_map(|&(letter, count)| (1..=count).map(move |row| format!("{letter}{row:02}")));
    let lines = TUTORIAL
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let is_row = |row: &str| row.len() == 3 && row[1..].chars().all(|c| c.is_ascii_digit());
    let rows: Vec<_> = lines.filter(|(row, _)| is_row(row)).collect();
    let found: Vec<_> = rows.iter().map(|(row, _)| (*row).to_owned()).collect();
    assert_eq!(found, expected.collect::<Vec<_>>());
    let mut listed = HashSet::new();
    for (row, rest) in rows {
        let cell = rest.split(" | ").nth(1).unwrap();
        let cell = cell.trim_end_matches(" |");
        assert!(!cell.is_empty(), "{row} has neither a test nor a reason");
        let quoted = cell.split('`').skip(1).step_by(2);
        // Quoted words that are not names of tests are listed here.
        for test in quoted.filter(|word| word.contains('_') && !word.contains(['/', ' '])) {
            let is_word = ["log_rpc", "increment_credit", "RUST_LOG"].contains(&test);
            assert!(
                is_word || names.contains(test),
                "{row}: there is no test {test}"
            );
            if !is_word {
                let carries = prefixes(test).contains(&row.to_lowercase().as_str());
                assert!(
                    carries,
                    "{row}: the name of {test} does not have the prefix"
                );
                listed.insert((row.to_lowercase(), test.to_owned()));
            }
        }
    }
    for name in &names {
        for row in prefixes(name) {
            let is_listed = listed.contains(&(row.to_owned(), name.clone()));
            assert!(is_listed, "{name} is not listed in row {row}");
        }
    }
}

#[test]
fn every_file_that_is_linked_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let links = TUTORIAL.split("](").skip(1);
    for link in links.filter_map(|rest| Some(rest.split_once(')')?.0)) {
        assert!(folder.join(link).exists(), "{link}");
    }
}
