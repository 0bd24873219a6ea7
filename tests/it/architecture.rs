//! Checks the module structure of `rpc-runtime/src` that ARCHITECTURE.md describes: imports go only
//! down the layers, and no modules import each other in a cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The layer of each module of the crate, in the order of `lib.rs`.
const LAYERS: [(&str, u8); 30] = [
    ("backoff", 0),
    ("context", 0),
    ("descriptor", 0),
    ("duration", 0),
    ("error", 0),
    ("faults", 0),
    ("flags", 0),
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

/// External crates and the only modules that may name them. All others may be named anywhere.
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
    ("clap", &["server/options", "server/process/log"]),
    ("axum", &["server", "__private", "lib"]),
    ("http", &["protocol", "compression", "client", "server"]),
    (
        "tokio",
        &[
            "client", "server", "local", "logs", "spawn", "builtin", "testing",
        ],
    ),
];

/// Cycles that are allowed, as the sorted modules of each, with the reason.
const ALLOWED_CYCLES: [(&[&str], &str); 0] = [];

/// A path in the code, such as `["crate", "error", "Code"]`.
type CodePath = Vec<String>;

/// A module with a file: what it imports and names.
#[derive(Default)]
struct Module {
    code: String,
    /// The names that `use` brings into scope, for resolving re-exports.
    scope: BTreeMap<String, CodePath>,
    /// The paths of re-exports.
    reexports: Vec<CodePath>,
    /// All other paths, in `use` items and elsewhere.
    paths: Vec<CodePath>,
}

/// The modules of the crate by path, such as `server/call/stack`; the root is the empty path.
struct Modules(BTreeMap<String, Module>);

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

impl Modules {
    /// Reads the sources, without comments, strings and tests.
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rpc-runtime/src");
        let mut found = Vec::new();
        sources(&root, &mut found);
        let mut modules = BTreeMap::new();
        for file in found {
            let name = file.strip_prefix(&root).unwrap().with_extension("");
            let name = name.to_string_lossy().replace('\\', "/");
            if name.ends_with("tests") {
                continue;
            }
            let path = match name.as_str() {
                "lib" => "",
                name => name.strip_suffix("/mod").unwrap_or(name),
            };
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next();
            modules.insert(path.to_owned(), Module::parse(code.unwrap_or_default()));
        }
        assert!(
            modules.len() > 40,
            "the sources were not found: {}",
            modules.len()
        );
        Self(modules)
    }

    /// Returns the module that defines the item of a path, or the module that the path names. A
    /// re-export is followed to its origin. `None` for paths of other crates and of local items.
    fn resolve(&self, from: &str, path: &[String]) -> Option<String> {
        self.resolve_within(from, path, 8)
    }

    fn resolve_within(&self, from: &str, path: &[String], depth: usize) -> Option<String> {
        let depth = depth.checked_sub(1)?;
        let (first, mut rest) = path.split_first()?;
        let mut base = match first.as_str() {
            "crate" => String::new(),
            "self" => from.to_owned(),
            "super" => parent(from),
            name if self.0.contains_key(&join(from, name)) => join(from, name),
            name => {
                let target = self.0.get(from)?.scope.get(name)?;
                // `use name;` and `use name as name` would lead back here.
                if target.first() == Some(first) && !self.0.contains_key(&join(from, name)) {
                    return None;
                }
                let target = [target, rest].concat();
                return self.resolve_within(from, &target, depth);
            }
        };
        while let Some((name, after)) = rest.split_first() {
            if name == "super" {
                base = parent(&base);
            } else if self.0.contains_key(&join(&base, name)) {
                base = join(&base, name);
            } else if let Some(target) = self.0.get(&base).and_then(|m| m.scope.get(name)) {
                let target = [target, after].concat();
                return self.resolve_within(&base, &target, depth).or(Some(base));
            } else {
                break;
            }
            rest = after;
        }
        Some(base)
    }

    /// The imports of a module: the modules whose items it names. A re-export of a module below is
    /// none.
    fn imports(&self, from: &str) -> BTreeSet<String> {
        let module = &self.0[from];
        let resolved = |paths: &[CodePath]| -> Vec<String> {
            paths
                .iter()
                .filter_map(|path| self.resolve(from, path))
                .collect()
        };
        let outside = resolved(&module.reexports)
            .into_iter()
            .filter(|target| !is_below(target, from));
        resolved(&module.paths).into_iter().chain(outside).collect()
    }

    /// The graph of imports between nodes. `node` returns the node of a module, `None` for a module
    /// outside of the graph.
    fn graph(&self, node: impl Fn(&str) -> Option<String>) -> Graph {
        let mut graph = Graph::new();
        for from in self.0.keys() {
            let Some(own) = node(from) else { continue };
            let edges = graph.entry(own.clone()).or_default();
            let imports = self.imports(from);
            edges.extend(imports.iter().filter_map(|to| node(to)));
            edges.remove(&own);
        }
        graph
    }
}

fn join(base: &str, name: &str) -> String {
    if base.is_empty() {
        name.to_owned()
    } else {
        format!("{base}/{name}")
    }
}

fn parent(module: &str) -> String {
    module
        .rsplit_once('/')
        .map_or(String::new(), |(parent, _)| parent.to_owned())
}

fn is_below(module: &str, above: &str) -> bool {
    above.is_empty()
        || module
            .strip_prefix(above)
            .is_some_and(|rest| rest.starts_with('/'))
}

fn layer(module: &str) -> Option<u8> {
    LAYERS
        .iter()
        .find(|entry| entry.0 == module)
        .map(|entry| entry.1)
}

/// The top-level module of a module; `None` for the root of the crate.
fn top_level(module: &str) -> Option<String> {
    let first = module.split('/').next().unwrap_or_default();
    (!first.is_empty()).then(|| first.to_owned())
}

/// The tokens of Rust code: identifiers, `::`, and single characters. Comments, strings and
/// characters are left out.
fn tokens(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let end = |rest: &str, mark: &str| rest.find(mark).map_or(rest.len(), |at| at + mark.len());
        let raw = rest.trim_start_matches("b").strip_prefix('r');
        let hashes = raw.map_or(0, |raw| raw.len() - raw.trim_start_matches('#').len());
        let length = if rest.starts_with("//") {
            end(rest, "\n")
        } else if let Some(raw) = raw.filter(|raw| raw[hashes..].starts_with('"')) {
            let opening = rest.len() - raw.len() + hashes + 1;
            opening + end(&rest[opening..], &format!("\"{}", "#".repeat(hashes)))
        } else if first == '"' {
            let mut escaped = false;
            let closing = rest[1..].find(|c| {
                let closes = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                closes
            });
            closing.map_or(rest.len(), |at| at + 2)
        } else if first == '\'' {
            let mut chars = rest[1..].chars();
            match (chars.next(), chars.next()) {
                (Some('\\'), _) => 3 + end(&rest[3..], "'"),
                (Some(c), Some('\'')) => 2 + c.len_utf8(),
                _ => 1,
            }
        } else if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            found.push(&rest[..length]);
            length
        } else {
            let length = if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            if !first.is_whitespace() {
                found.push(&rest[..length]);
            }
            length
        };
        rest = &rest[length..];
    }
    found
}

impl Module {
    fn parse(code: &str) -> Self {
        let tokens = tokens(code);
        let mut module = Self {
            code: code.to_owned(),
            ..Self::default()
        };
        let is_word = |token: &str| token.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let mut at = 0;
        while at < tokens.len() {
            let before = at.checked_sub(1).map_or("", |before| tokens[before]);
            if tokens[at] == "use" && before != "+" {
                let is_reexport = before == "pub" || before == ")";
                at += 1;
                module.use_tree(&tokens, &mut at, &mut Vec::new(), is_reexport);
            } else if is_word(tokens[at]) && tokens.get(at + 1) == Some(&"::") {
                let mut path = vec![tokens[at].to_owned()];
                at += 1;
                while tokens.get(at) == Some(&"::")
                    && tokens.get(at + 1).is_some_and(|t| is_word(t))
                {
                    path.push(tokens[at + 1].to_owned());
                    at += 2;
                }
                // `$crate::` belongs to the crates that use the macro.
                if before != "$" {
                    module.paths.push(path);
                }
            } else {
                at += 1;
            }
        }
        module
    }

    /// Reads a tree of a `use` item, up to its `;` or, within braces, its `,` or `}`.
    fn use_tree(
        &mut self,
        tokens: &[&str],
        at: &mut usize,
        prefix: &mut CodePath,
        is_reexport: bool,
    ) {
        let depth = prefix.len();
        let mut alias = None;
        while let Some(&token) = tokens.get(*at) {
            match token {
                ";" | "," | "}" => break,
                "::" => {}
                "as" => {
                    *at += 1;
                    alias = tokens.get(*at).copied();
                }
                "{" => {
                    *at += 1;
                    while tokens.get(*at).is_some_and(|token| *token != "}") {
                        self.use_tree(tokens, at, prefix, is_reexport);
                        if tokens.get(*at) == Some(&",") {
                            *at += 1;
                        }
                    }
                    *at += 1;
                    prefix.truncate(depth);
                    return;
                }
                name => prefix.push(name.to_owned()),
            }
            *at += 1;
        }
        let mut path = prefix.clone();
        if path.len() > 1
            && path
                .last()
                .is_some_and(|last| last == "self" || last == "*")
        {
            path.pop();
        }
        if let Some(name) = alias.or(path.last().map(String::as_str)) {
            self.scope.insert(name.to_owned(), path.clone());
        }
        if is_reexport {
            self.reexports.push(path);
        } else {
            self.paths.push(path);
        }
        prefix.truncate(depth);
    }
}

/// The modules that each module imports.
type Graph = BTreeMap<String, BTreeSet<String>>;

fn reachable<'g>(graph: &'g Graph, from: &str) -> BTreeSet<&'g str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = vec![from];
    while let Some(node) = open.pop() {
        for next in graph.get(node).into_iter().flatten() {
            if found.insert(next.as_str()) {
                open.push(next);
            }
        }
    }
    found
}

/// The strongly connected components with more than one module, each with its imports.
fn cycles(graph: &Graph) -> Vec<String> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = graph
        .keys()
        .map(|node| (node.as_str(), reachable(graph, node)))
        .collect();
    let components: BTreeSet<Vec<&str>> = graph
        .keys()
        .filter(|node| reached[node.as_str()].contains(node.as_str()))
        .map(|node| {
            let both = |other: &&&str| reached[**other].contains(node.as_str());
            let reachable = &reached[node.as_str()];
            let members = reachable
                .iter()
                .filter(|other| reached.contains_key(**other));
            members.filter(both).copied().collect()
        })
        .collect();
    components
        .into_iter()
        .filter(|members| ALLOWED_CYCLES.iter().all(|allowed| allowed.0 != *members))
        .map(|members| {
            let imports = members.iter().flat_map(|from| {
                let targets = graph[*from].iter().map(String::as_str);
                targets
                    .filter(|to| members.contains(to))
                    .map(move |to| format!("{from} -> {to}"))
            });
            imports.collect::<Vec<_>>().join(", ")
        })
        .collect()
}

#[test]
fn imports_go_only_down_the_layers() {
    let modules = Modules::read();
    let mut broken = Vec::new();
    for name in modules.0.keys() {
        let Some(module) = top_level(name) else {
            continue;
        };
        let own = layer(&module)
            .unwrap_or_else(|| panic!("module `{module}` has no layer: add it to LAYERS"));
        for target in modules.imports(name) {
            let Some(import) = top_level(&target) else {
                continue;
            };
            let imported = layer(&import)
                .unwrap_or_else(|| panic!("module `{import}` has no layer: add it to LAYERS"));
            if imported > own {
                broken.push(format!(
                    "{name} (layer {own}) imports {target} (layer {imported})"
                ));
            }
            let sides = [module.as_str(), import.as_str()];
            if sides == ["client", "server"] || sides == ["server", "client"] {
                broken.push(format!(
                    "{name} imports {target}; only `local`, `builtin` and `testing` may import both sides"
                ));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn top_level_modules_have_no_cycles() {
    let graph = Modules::read().graph(top_level);
    assert!(graph["server"].contains("middleware"), "{graph:#?}");
    let cycles = cycles(&graph);
    assert!(cycles.is_empty(), "{cycles:#?}");
}

/// The nodes are the files and folders of `server/`, and those of its folders. A `mod.rs` is a node
/// if it imports anything.
#[test]
fn modules_of_the_server_have_no_cycles() {
    let graph = Modules::read().graph(|module| {
        let segments: Vec<_> = module.split('/').collect();
        (segments[0] == "server").then(|| segments[..segments.len().min(3)].join("/"))
    });
    // The test follows re-exports: `gate` names `crate::server::Limits`.
    assert!(
        graph["server/admission/gate"].contains("server/limits"),
        "{graph:#?}"
    );
    let cycles = cycles(&graph);
    assert!(cycles.is_empty(), "{cycles:#?}");
}

/// A jump of the system clock changes no deadline, timer or budget: only signatures and log records
/// use the time of day.
#[test]
fn only_signatures_and_logs_read_the_wall_clock() {
    let users: Vec<_> = Modules::read()
        .0
        .into_iter()
        .filter(|(_, module)| {
            ["SystemTime", "jiff::"]
                .iter()
                .any(|t| module.code.contains(t))
        })
        .map(|(name, _)| name)
        .filter(|name| {
            !["identity", "logs"]
                .iter()
                .any(|allowed| name.starts_with(allowed))
        })
        .collect();
    assert!(users.is_empty(), "{users:?}");
}

#[test]
fn external_crates_are_named_where_allowed() {
    let modules = Modules::read();
    let mut broken = Vec::new();
    for (name, module) in &modules.0 {
        let file = if name.is_empty() { "lib" } else { name };
        for (external, allowed) in NAMED_BY {
            // A module of this crate may have the same name.
            let is_named = module
                .paths
                .iter()
                .chain(&module.reexports)
                .any(|path| path[0] == external && modules.resolve(name, path).is_none());
            if is_named && !allowed.iter().any(|allowed| file.starts_with(allowed)) {
                broken.push(format!("{file} names {external}; only {allowed:?} may"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
