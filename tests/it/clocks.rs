//! No test fails because the machine is slow: assertions on elapsed time are lower bounds.

mod timeouts;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Files with an upper bound on elapsed time, and the reason. Virtual time needs no entry.
const ALLOWED: [(&str, &str); 0] = [];

/// Folders with tests. In `src`, only files and modules of tests are read.
const FOLDERS: [&str; 8] = [
    "examples",
    "fibpro/src",
    "fibpro/tests",
    "models",
    "rpc-macros/src",
    "rpc-runtime/src",
    "rpc-runtime/tests",
    "tests",
];

/// Expressions that are or contain elapsed time.
const CLOCKS: [&str; 3] = [".elapsed()", ".duration_since(", "Instant::now()"];

/// Names of variables with elapsed time, wherever they come from.
const NAMES: [&str; 5] = ["elapsed", "took", "duration", "since", "waited"];

#[test]
fn elapsed_time_has_lower_bounds_only() {
    let (mut found, files) = (Vec::new(), test_files());
    for TestFile { name, whole, tests } in &files {
        if !ALLOWED.iter().any(|(allowed, _)| allowed == name) {
            // A module of tests has the imports of its file.
            let bounds = upper_bounds(&whole[*tests..], has_tokio_clock(whole)).into_iter();
            found.extend(bounds.map(|bound| format!("{name}: {bound}")));
        }
    }
    assert!(files.len() > 100, "only {} files with tests", files.len());
    assert!(
        found.is_empty(),
        "upper bounds on elapsed time; wait for an event or use virtual time:\n{}",
        found.join("\n")
    );
}

#[test]
fn upper_bounds_are_recognized() {
    for bound in [
        "assert!(start.elapsed() < LIMIT);",
        "assert!( start.elapsed().as_millis() <= 5, \"late\" );",
        "assert!(LIMIT > start.elapsed());",
        "let spent = start.elapsed(); assert!(spent < LIMIT);",
        "let (_, spent) = (1, start.elapsed()); assert!(LIMIT >= spent);",
        "assert!((50..60).contains(&start.elapsed().as_millis()));",
        "if start.elapsed() > LIMIT { panic!() }",
        "while Instant::now() < end { step(); }",
        "assert!(took < LIMIT);",
        "assert_eq!(start.elapsed(), LIMIT);",
    ] {
        assert_eq!(upper_bounds(&code(bound), false).len(), 1, "{bound}");
    }
    for other in [
        "assert!(start.elapsed() >= LIMIT);",
        "assert!(start.elapsed() + ROUNDING >= LIMIT - left, \"{left:?}\");",
        "assert!(LIMIT <= start.elapsed());",
        "let spent = start.elapsed(); assert!(spent > LIMIT);",
        "// assert!(start.elapsed() < LIMIT);",
        "let next = || -> Duration { start.elapsed() };",
        "use tokio::time::Instant; #[tokio::test(start_paused = true)] \
         async fn f() { assert_eq!(start.elapsed(), LIMIT); }",
    ] {
        let code = code(other);
        let bounds = upper_bounds(&code, has_tokio_clock(&code));
        assert_eq!(bounds, BTreeSet::new(), "{other}");
    }
}

/// A file with tests.
struct TestFile {
    name: String,
    /// Its code.
    whole: String,
    /// The place in the code where the tests begin.
    tests: usize,
}

/// Returns all files with tests.
fn test_files() -> Vec<TestFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for folder in FOLDERS {
        for path in sources(&root.join(folder)) {
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            let whole = code(&fs::read_to_string(&path).unwrap());
            let tests = match whole.find("#[cfg(test)] mod tests {") {
                Some(start) => start,
                None if folder.ends_with("src") && !is_test_file(&name) => continue,
                None => 0,
            };
            found.push(TestFile { name, whole, tests });
        }
    }
    found
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("clocks.rs")
            && !path.ends_with("clocks/timeouts.rs")
        {
            found.push(path);
        }
    }
    found
}

fn is_test_file(name: &str) -> bool {
    name.contains("/tests/") || name.ends_with("tests.rs") || name.ends_with("test.rs")
}

/// Returns the code without comment lines, with one space for each sequence of spaces and line
/// ends.
fn code(text: &str) -> String {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(str::split_whitespace)
        .collect::<Vec<_>>()
        .join(" ")
        .replace(" .", ".")
        .replace("( ", "(")
}

/// Returns whether `Instant` is the one of tokio, which a paused runtime stops.
fn has_tokio_clock(code: &str) -> bool {
    code.contains("tokio::time::Instant")
        || code
            .split("use tokio::time::{")
            .skip(1)
            .any(|names| names.split('}').next().unwrap().contains("Instant"))
}

/// Returns the statements that compare elapsed time with an upper bound.
fn upper_bounds(code: &str, tokio_clock: bool) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut names = BTreeSet::from(NAMES);
    // Statements and heads of blocks.
    for statement in code.split([';', '{', '}']) {
        if let Some((pattern, value)) = statement.split_once("= ")
            && statement.trim_start().starts_with("let ")
            && (value.contains(".elapsed()") || value.contains(".closed().await"))
        {
            let pattern = pattern.trim_start().trim_start_matches("let ");
            let words = pattern.split(|c: char| !c.is_alphanumeric() && c != '_');
            names.extend(words.filter(|word| word.len() > 2));
        }
        let at = code
            .len()
            .min(statement.as_ptr() as usize - code.as_ptr() as usize);
        let test = &code[code[..at]
            .rfind("#[test]")
            .max(code[..at].rfind("#[tokio::test"))
            .unwrap_or(0)..at];
        let is_virtual =
            tokio_clock && (test.contains("start_paused") || test.contains("StoppedClock::start"));
        if !is_virtual && is_upper_bound(statement, &names) {
            found.insert(statement.trim());
        }
    }
    found
}

fn is_upper_bound(statement: &str, names: &BTreeSet<&str>) -> bool {
    let words: Vec<_> = names
        .iter()
        .flat_map(|name| positions(statement, name))
        .collect();
    let clocks = CLOCKS.iter().flat_map(|clock| {
        statement
            .match_indices(clock)
            .map(|(at, text)| (at, at + text.len()))
    });
    let branch = ["if ", "while "].iter().any(|word| {
        statement
            .trim_start()
            .trim_start_matches("else ")
            .starts_with(word)
    });
    clocks.chain(words).any(|(start, end)| {
        // What precedes the receiver, and what follows the methods.
        let before = statement[..start]
            .trim_end_matches(|c: char| c.is_alphanumeric() || "_.&:".contains(c))
            .trim_end();
        let mut after = statement[end..].trim_start_matches("()");
        while let Some(method) = after.strip_prefix('.') {
            let arguments = method.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
            after = arguments.split_once(')').map_or("", |(_, rest)| rest);
        }
        let after = after.trim_start();
        let greater = before.ends_with(" >") || before.ends_with(" >=");
        (after.starts_with("< ") || after.starts_with("<= "))
            || greater
            || (before.ends_with("contains(") || before.ends_with("assert_eq!("))
                && !before.contains("..)")
            || branch && (after.starts_with("> ") || after.starts_with(">= "))
    })
}

/// Returns where a whole word starts and ends, unless it is a method or a field.
fn positions(text: &str, word: &str) -> Vec<(usize, usize)> {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.');
    let whole = |(at, found): (usize, &str)| {
        let end = at + found.len();
        let next = text[end..].chars().next();
        let is_word = next.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '(');
        (!part(text[..at].chars().next_back()) && is_word).then_some((at, end))
    };
    text.match_indices(word).filter_map(whole).collect()
}
