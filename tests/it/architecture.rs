//! The rings of `rpc-runtime/src`, as ARCHITECTURE.md draws them: imports go only downwards.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The ring of each module of the crate; `lib.rs` lists them in this order.
const RINGS: [(&str, u8); 30] = [
    ("backoff", 0),
    ("context", 0),
    ("descriptor", 0),
    ("duration", 0),
    ("error", 0),
    ("flags", 0),
    ("faults", 0),
    ("identity", 0),
    ("metadata", 0),
    ("request_id", 0),
    ("secret", 0),
    ("sync", 0),
    ("text", 0),
    ("codec", 1),
    ("compression", 1),
    ("protocol", 1),
    ("discovery", 2),
    ("method", 2),
    ("middleware", 2),
    ("observe", 2),
    ("registry", 2),
    ("streaming", 2),
    ("builtin", 4),
    ("client", 4),
    ("local", 4),
    ("logs", 4),
    ("server", 4),
    ("spawn", 4),
    ("testing", 4),
    ("__private", 4),
];

/// Outside crates, and the only modules that may name them. Not listed: free for all.
const NAMED_BY: [(&str, &[&str]); 7] = [
    ("reqwest", &["client"]),
    ("hyper_util", &["client/transport", "server/transport"]),
    (
        "hyper",
        &[
            "client/transport",
            "server/transport",
            "server/call/dispatch",
            "server/call/body",
        ],
    ),
    ("clap", &["server/options"]),
    ("axum", &["server", "__private", "lib"]),
    ("http", &["protocol", "compression", "client", "server"]),
    (
        "tokio",
        &[
            "client", "server", "local", "logs", "spawn", "builtin", "testing",
        ],
    ),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The path of each source file within `src`, without `.rs`, and its code without comments and tests.
fn files() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rpc-runtime/src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    let code = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        let text = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        text.lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    found
        .iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().with_extension("");
            (name.to_string_lossy().replace('\\', "/"), code(path))
        })
        .filter(|(name, _)| !name.ends_with("tests"))
        .collect()
}

fn ring(module: &str) -> Option<u8> {
    RINGS
        .iter()
        .find(|entry| entry.0 == module)
        .map(|entry| entry.1)
}

/// The modules of the crate that a file names, as `crate::module` or within `use crate::{…}`.
fn imports(code: &str) -> Vec<&str> {
    let word = |text: &'_ str| {
        text.find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(text.len())
    };
    // `$crate::` is written for the code of others.
    let own = code
        .match_indices("crate::")
        .filter(|(at, _)| !code[..*at].ends_with('$'));
    let mut found: Vec<&str> = own
        .map(|(at, _)| &code[at + 7..])
        .map(|rest| &rest[..word(rest)])
        .collect();
    for (at, _) in code.match_indices("crate::{") {
        let list = &code[at + 8..];
        found.extend(
            list[..list.find('}').unwrap_or(list.len())]
                .split(',')
                .map(|item| {
                    let item = item.trim();
                    &item[..word(item)]
                }),
        );
    }
    found
}

#[test]
fn imports_go_only_down_the_rings() {
    let files = files();
    assert!(
        files.len() > 40,
        "the sources were not found: {}",
        files.len()
    );
    let mut broken = Vec::new();
    for (name, code) in &files {
        let module = name.split('/').next().unwrap_or(name);
        if module == "lib" {
            continue;
        }
        let own = ring(module)
            .unwrap_or_else(|| panic!("the module `{module}` has no ring; add it to RINGS"));
        for import in imports(code) {
            // What is no module is an item of lib.rs, which re-exports the words of ring 0.
            let imported = ring(import).unwrap_or(0);
            if imported > own {
                broken.push(format!(
                    "{name} (ring {own}) imports {import} (ring {imported})"
                ));
            }
            let ends = [module, import];
            if ends == ["client", "server"] || ends == ["server", "client"] {
                broken.push(format!(
                    "{name} imports {import}; only `local`, `builtin` and `testing` see both ends"
                ));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Row 92: a clock that jumps moves no deadline, timer or budget. Only signatures and log records tell the time of day.
#[test]
fn row_92_only_signatures_and_logs_look_at_the_wall_clock() {
    let looking: Vec<_> = files()
        .into_iter()
        .filter(|(_, code)| code.contains("SystemTime") || code.contains("jiff::"))
        .map(|(name, _)| name)
        .filter(|name| {
            !["identity", "logs"]
                .iter()
                .any(|room| name.starts_with(room))
        })
        .collect();
    assert!(looking.is_empty(), "{looking:?}");
}

#[test]
fn outside_crates_are_named_where_they_belong() {
    let mut broken = Vec::new();
    for (name, code) in &files() {
        for (outside, rooms) in NAMED_BY {
            let path = format!("{outside}::");
            let named = code.match_indices(&path).any(|(at, _)| {
                let before = code[..at].chars().next_back();
                // `::http::`, `use http::`, `(http::`: the crate. `protocol::http::` or `self::http::`: not.
                before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
                    && !code[..at].ends_with("self::")
                    && !code[..at].ends_with("super::")
                    && !code[..at].ends_with("transport::")
            });
            if named && !rooms.iter().any(|room| name.starts_with(room)) {
                broken.push(format!("{name} names {outside}; only {rooms:?} may"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
