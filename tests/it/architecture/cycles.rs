//! Checks that modules use each other in one direction only, in every folder at every depth.
//!
//! The nodes of a folder are its files and its subfolders, each with everything in it. A node uses
//! another node if its code names an item that is defined there. Names are resolved to the file
//! that defines the item, also through re-exports. These are not uses:
//!
//! - an item that the `mod.rs` of the folder defines: it is what the files of the folder are parts
//!   of, so they name it, and it names them;
//! - a call of a method: a type may have inherent `impl` blocks in other files, which use the type;
//! - the re-export of an item of a module below.
//!
//! The files of a crate are one more graph, so that an allowed cycle of folders hides no cycle of
//! files. There, a file does not use the `mod.rs` of the folders that it is in.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::{Modules, is_below, join};

const CRATES: [&str; 3] = ["rpc-runtime", "rpc-macros", "fibpro"];

/// Cycles that are allowed, as the sorted nodes of each, with the reason.
const ALLOWED_CYCLES: [(&[&str], &str); 6] = [
    (
        &["client/transport/http", "client/transport/reqwest"],
        "one type: `reqwest` has the part of `HttpTransport` that only a feature compiles",
    ),
    (
        &[
            "client/transport/http2/connection",
            "client/transport/http2/origin",
        ],
        "an origin has connections, and a connection that ends is removed from its origin",
    ),
    (
        &["command/chaos/faults", "command/chaos/system"],
        "the faults prepare the system that they are injected into",
    ),
    (
        &["error/call_error", "error/payload"],
        "an error carries the payload of a typed error, which is read from an error",
    ),
    (
        &[
            "flags/declare",
            "flags/notify",
            "flags/registry",
            "flags/set",
        ],
        "a flag is read from the values of a server, which are an entry for each declared flag",
    ),
    (
        &[
            "server/call",
            "server/cors",
            "server/http_paths",
            "server/idempotency",
            "server/inner",
            "server/plain_routes",
            "server/process",
            "server/routes",
            "server/transport",
        ],
        "folders by subject, and not by layer; their files have no cycles, see the test below",
    ),
];

/// The nodes that each node uses, and for each of them the imports, as `context/scope ->
/// context/handle`.
type Graph = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Returns the graph of the nodes that `node` returns for modules; `None` is outside of the graph.
fn graph(imports: &[(String, String)], node: impl Fn(&str) -> Option<String>) -> Graph {
    let mut graph = Graph::new();
    for (from, to) in imports {
        let (Some(user), Some(used)) = (node(from), node(to)) else {
            continue;
        };
        if user != used {
            let uses = graph.entry(user).or_default();
            uses.entry(used)
                .or_default()
                .insert(format!("{from} -> {to}"));
        }
    }
    graph
}

/// Returns the graphs of all folders, and the graph of all files.
fn graphs(modules: &Modules) -> Vec<Graph> {
    let imports = modules.all_imports();
    let folders = modules.folders();
    let of_folder = |folder: &String| {
        graph(&imports, |module| {
            let rest =
                is_below(module, folder).then(|| module[folder.len()..].trim_start_matches('/'));
            let name = rest?.split('/').next().filter(|name| !name.is_empty())?;
            Some(join(folder, name))
        })
    };
    let mut graphs: Vec<_> = folders.iter().map(of_folder).collect();
    let files = imports.iter().filter(|(from, to)| !is_below(from, to));
    let files: Vec<_> = files.cloned().collect();
    graphs.push(graph(&files, |module| Some(module.to_owned())));
    graphs
}

fn reachable<'g>(graph: &'g Graph, from: &str) -> BTreeSet<&'g str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = vec![from];
    while let Some(node) = open.pop() {
        for next in graph.get(node).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(next.as_str()) {
                open.push(next);
            }
        }
    }
    found
}

/// Returns the strongly connected components with more than one node.
fn cycles(graph: &Graph) -> BTreeSet<Vec<&str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = graph
        .keys()
        .map(|node| (node.as_str(), reachable(graph, node)))
        .collect();
    let is_mutual = |one: &str, other: &str| {
        let reaches = |from: &str, to: &str| reached.get(from).is_some_and(|all| all.contains(to));
        reaches(one, other) && reaches(other, one)
    };
    let component = |node: &str| {
        let members = graph.keys().map(String::as_str);
        members.filter(|other| is_mutual(node, other)).collect()
    };
    let nodes = graph.keys().filter(|node| is_mutual(node, node));
    nodes.map(|node| component(node)).collect()
}

/// Describes a cycle by its uses and the imports behind them.
fn describe(graph: &Graph, members: &[&str]) -> String {
    let mut text = String::new();
    for from in members {
        for (to, imports) in &graph[*from] {
            if members.contains(&to.as_str()) {
                let imports: Vec<_> = imports.iter().map(String::as_str).collect();
                text += &format!("\n    {from} uses {to}: {}", imports.join(", "));
            }
        }
    }
    text
}

#[test]
fn no_modules_use_each_other_in_a_cycle() {
    let (mut found, mut seen) = (String::new(), BTreeSet::new());
    for name in CRATES {
        for graph in graphs(&Modules::read(name)) {
            for members in cycles(&graph) {
                if ALLOWED_CYCLES.iter().any(|allowed| allowed.0 == members) {
                    seen.insert(members.join(" "));
                } else {
                    found += &format!("\n{name}:{}", describe(&graph, &members));
                }
            }
        }
    }
    assert!(
        found.is_empty(),
        "move what both sides need to a module below them:{found}"
    );
    let allowed = ALLOWED_CYCLES.iter().map(|allowed| allowed.0.join(" "));
    let unused: Vec<_> = allowed.filter(|cycle| !seen.contains(cycle)).collect();
    assert!(unused.is_empty(), "allowed, but no cycle: {unused:#?}");
}

/// The nodes are the files and folders of `server/`, and those of its folders. Here a `mod.rs` is a
/// node as well.
#[test]
fn modules_of_the_server_have_no_cycles() {
    let imports = Modules::read("rpc-runtime").all_imports();
    let graph = graph(&imports, |module| {
        let segments: Vec<_> = module.split('/').collect();
        (segments[0] == "server").then(|| segments[..segments.len().min(3)].join("/"))
    });
    // Re-exports are followed: `gate` names `crate::server::Limits`.
    assert!(
        graph["server/admission/gate"].contains_key("server/limits"),
        "{graph:#?}"
    );
    let cycles: Vec<_> = cycles(&graph)
        .iter()
        .map(|members| describe(&graph, members))
        .collect();
    assert!(cycles.is_empty(), "{}", cycles.concat());
}

/// Returns the cycles of a crate with these files.
fn cycles_of(files: &[(&str, &str)]) -> BTreeSet<String> {
    let graphs = graphs(&Modules::parse(files.iter().copied()));
    let cycles = graphs.iter().flat_map(cycles);
    cycles.map(|members| members.join(" ")).collect()
}

#[test]
fn cycles_are_recognized_at_every_depth() {
    let one = "use super::two::Two; pub struct One;";
    for (expected, files) in [
        // Files of a folder, with a path in the code.
        (
            &["x/a/one x/a/two"][..],
            &[
                ("x/a/mod", ""),
                ("x/a/one", one),
                ("x/a/two", "struct Two(super::one::One);"),
            ][..],
        ),
        // A folder and a file.
        (
            &["a b"],
            &[
                ("a/mod", ""),
                ("a/one", "use crate::b::B;"),
                ("b", "use crate::a::two::Two;"),
                ("a/two", "pub struct Two;"),
            ],
        ),
        // Folders, of which no file takes part twice.
        (
            &["a b"],
            &[
                ("a/mod", ""),
                ("a/one", "use crate::b::one::One;"),
                ("a/two", "pub struct Two;"),
                ("b/mod", ""),
                ("b/one", "pub struct One;"),
                ("b/two", "use crate::a::two::Two;"),
            ],
        ),
        // Through re-exports.
        (
            &["a/b/one a/b/two"],
            &[
                ("lib", "pub use a::*; pub use a::b::One;"),
                ("a/mod", "pub use self::b::Two;"),
                ("a/b/mod", "pub use one::One; pub use two::Two;"),
                ("a/b/one", "pub struct One; fn f(_: crate::a::Two) {}"),
                ("a/b/two", "pub struct Two; fn f(_: crate::One) {}"),
            ],
        ),
        // Files of different folders, and these folders.
        (
            &["a b", "a b/one"],
            &[
                ("a/mod", "use crate::b::one::One; pub struct A;"),
                ("b/mod", ""),
                ("b/one", "use crate::a::A; pub struct One;"),
            ],
        ),
        // Three files.
        (
            &["a/one a/three a/two"],
            &[
                ("a/mod", ""),
                ("a/one", one),
                ("a/two", "use super::three::*; pub struct Two;"),
                ("a/three", "fn f() { super::one::f() }"),
            ],
        ),
        // `mod.rs`, re-exports, inherent implementations and tests.
        (
            &[],
            &[
                ("lib", "pub fn f() { a::f() }"),
                (
                    "a/mod",
                    "pub use one::One; pub use two::Two; fn f() { one::f() }",
                ),
                (
                    "a/one",
                    "use super::two::Two; pub struct One; fn f() { super::f(); crate::f() }",
                ),
                (
                    "a/two",
                    "pub struct Two;\n#[cfg(test)]\nmod tests { use super::super::One; }",
                ),
                (
                    "a/more",
                    "use super::One; impl One { pub fn f(self) { self.g() } }",
                ),
                ("a/tests", "use super::*; fn f(one: One) { one.f() }"),
            ],
        ),
    ] {
        let found: Vec<_> = cycles_of(files).into_iter().collect();
        assert_eq!(found, expected, "{files:?}");
    }
}
