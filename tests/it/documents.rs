//! Checks of the documents: links and paths exist, and ARCHITECTURE.md stays short.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders relative to which a path of a document may be given.
const ROOTS: [&str; 4] = ["", "rpc-runtime/src", "rpc-macros/src", "fibpro/src"];

/// Code spans that look like paths but are not.
const NOT_PATHS: [&str; 3] = ["application/json", "text/plain", "connectrpc.com/connect"];

/// Folders that programs create.
const CREATED: [&str; 2] = ["fibpro-data/", "target/"];

const ARCHITECTURE_LINES: usize = 230;
const ARCHITECTURE_COLUMNS: usize = 100;
const DECISION_LINES: usize = 60;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// Returns all Markdown files, relative to the root. Not those that tools install or build.
fn documents() -> Vec<PathBuf> {
    fn add(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            let name = entry.file_name();
            let is_foreign = name == "target" || name == "node_modules" || name == ".git";
            if entry.file_type().unwrap().is_dir() && !is_foreign {
                add(root, &path, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    add(&workspace(), Path::new(""), &mut found);
    found.sort();
    for sample in [
        "README.md",
        "docs/adr/README.md",
        "rpc-runtime/src/server/options.md",
    ] {
        assert!(found.contains(&sample.into()), "{sample} is not read");
    }
    found
}

fn read(document: &Path) -> String {
    fs::read_to_string(workspace().join(document)).unwrap()
}

/// Returns the text without its fenced code blocks.
fn prose(text: &str) -> String {
    let parts = text.split("```");
    parts.step_by(2).collect()
}

/// Returns the anchors of the headings, as GitHub makes them.
fn anchors(text: &str) -> HashSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let kept = line.trim_start_matches('#').trim().to_lowercase();
            kept.chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

/// Returns `a/b.rs` and `a/c.rs` for `a/{b,c}.rs`.
fn alternatives(path: &str) -> Vec<String> {
    let Some((head, rest)) = path.split_once('{') else {
        return vec![path.to_owned()];
    };
    let (list, tail) = rest.split_once('}').unwrap();
    let each = list.split(',').map(|item| format!("{head}{item}{tail}"));
    each.flat_map(|path| alternatives(&path)).collect()
}

/// Returns the names of all source files.
fn source_names() -> HashSet<String> {
    fn add(folder: &Path, names: &mut HashSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(&path, names);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                names.insert(path.file_name().unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut names = HashSet::new();
    for folder in ["rpc-macros", "rpc-runtime", "fibpro", "tests", "models"] {
        add(&workspace().join(folder), &mut names);
    }
    names
}

fn is_path(span: &str) -> bool {
    (span.contains('/') || span.ends_with(".rs"))
        && !span.starts_with('/')
        && !NOT_PATHS.contains(&span)
        && !CREATED.iter().any(|folder| span.starts_with(folder))
        && span
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_./{},-".contains(c))
}

#[test]
fn every_relative_link_leads_to_a_file_and_heading() {
    let mut broken = Vec::new();
    let documents = documents();
    assert!(documents.len() > 40, "the documents were not found");
    for document in &documents {
        let text = prose(&read(document));
        let links = text.split("](").skip(1);
        for link in links.filter_map(|rest| Some(rest.split_once(')')?.0)) {
            // The others are URLs, and items in the documentation of a crate.
            if link.contains("::") || link.contains("://") || link.contains('@') {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            let target = workspace().join(target);
            let has_anchor = |anchor| {
                let text = fs::read_to_string(&target).unwrap_or_default();
                anchors(&prose(&text)).contains(anchor)
            };
            if !target.exists() || !(anchor.is_empty() || has_anchor(anchor)) {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_path_in_a_document_exists() {
    let root = workspace();
    let exists = |document: &Path, path: &str| {
        let own = document.parent().unwrap();
        let mut folders = ROOTS.iter().map(Path::new).chain([own]);
        folders.any(|folder| root.join(folder).join(path).exists())
    };
    let names = source_names();
    let mut broken = Vec::new();
    let mut checked = 0;
    for document in documents() {
        let text = prose(&read(&document));
        let spans = text.split('`').skip(1).step_by(2);
        for path in spans.filter(|span| is_path(span)).flat_map(alternatives) {
            checked += 1;
            if !exists(&document, &path) && !names.contains(&path) {
                broken.push(format!("{}: {path}", document.display()));
            }
        }
    }
    assert!(checked > 100, "only {checked} paths were found");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn documents_show_line_instead_of_a_line_number() {
    let mut numbered = Vec::new();
    for document in documents() {
        let text = read(&document);
        let places = text.split(".rs:").skip(1);
        let numbers = places.filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        numbered.extend(numbers.map(|_| document.display().to_string()));
    }
    assert!(numbered.is_empty(), "write `LINE`: {numbered:#?}");
}

#[test]
fn the_architecture_stays_a_map() {
    let text = read(Path::new("ARCHITECTURE.md"));
    let lines = text.lines().count();
    assert!(
        lines <= ARCHITECTURE_LINES,
        "{lines} lines; decisions belong in docs/adr"
    );
    let wide: Vec<_> = text
        .lines()
        .filter(|line| line.chars().count() > ARCHITECTURE_COLUMNS)
        .collect();
    assert!(wide.is_empty(), "{wide:#?}");
}

#[test]
fn every_decision_is_a_page_and_in_the_index() {
    let folder = Path::new("docs/adr");
    let index = read(&folder.join("README.md"));
    for document in documents() {
        if !document.starts_with(folder) || document.ends_with("README.md") {
            continue;
        }
        let name = document.file_name().unwrap().to_str().unwrap();
        let text = read(&document);
        let lines = text.lines().count();
        assert!(lines <= DECISION_LINES, "{name} has {lines} lines");
        assert!(
            index.contains(&format!("({name})")),
            "{name} is not in the index"
        );
        for part in [
            "\nStatus: ",
            "\n## Context\n",
            "\n## Decision\n",
            "\n## Consequences\n",
        ] {
            assert!(text.contains(part), "{name} has no `{}`", part.trim());
        }
    }
}

/// The lines that rustdoc hides are shown by every other reader of Markdown, and are no Rust.
#[test]
fn code_blocks_of_documents_have_no_hidden_lines() {
    let is_rustdoc = |document: &Path| document.starts_with("rpc-runtime/src");
    let mut blocks = 0;
    for document in documents().into_iter().filter(|path| !is_rustdoc(path)) {
        let mut in_rust = false;
        for (index, line) in read(&document).lines().enumerate() {
            if line.starts_with("```") {
                in_rust = line.starts_with("```rust");
                blocks += usize::from(in_rust);
            }
            let is_hidden = in_rust && (line == "#" || line.starts_with("# "));
            let place = format!("{}:{}", document.display(), index + 1);
            assert!(!is_hidden, "{place}: write `{line}` as visible code");
        }
    }
    assert!(blocks > 30, "{blocks}");
}
