//! Checks the module structure of `rpc-runtime/src` that ARCHITECTURE.md describes: imports go only
//! down the layers, and external crates are named only where they belong. For all crates, that no
//! modules use each other in a cycle.

mod cycles;
mod modules;

use self::modules::Modules;

/// The layer of each module of the crate, in the order of `lib.rs`.
const LAYERS: [(&str, u8); 36] = [
    ("backoff", 0),
    ("context", 0),
    ("descriptor", 0),
    ("duration", 0),
    ("error", 0),
    ("faults", 0),
    ("files", 0),
    ("flags", 0),
    ("identity", 0),
    ("metadata", 0),
    ("option_name", 0),
    ("request_id", 0),
    ("secret", 0),
    ("sync", 0),
    ("text", 0),
    ("codec", 1),
    ("compression", 1),
    ("protocol", 1),
    ("tls", 1),
    ("discovery", 2),
    ("method", 2),
    ("middleware", 2),
    ("observe", 2),
    ("registry", 2),
    ("streaming", 2),
    ("builtin", 4),
    ("client", 4),
    ("fuzzing", 4),
    ("local", 4),
    ("logs", 4),
    ("otel", 4),
    ("server", 4),
    ("spawn", 4),
    ("stderr", 4),
    ("testing", 4),
    ("__private", 4),
];

/// External crates and the only modules that may name them. All others may be named anywhere.
const NAMED_BY: [(&str, &[&str]); 8] = [
    (
        "rustls",
        &["tls", "client/transport/tls", "server/transport/tls"],
    ),
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
    (
        "clap",
        &[
            "server/options",
            "server/prefixed_options",
            "server/env_option",
            "server/process/log",
            "server/tls_listeners",
        ],
    ),
    ("axum", &["server", "__private", "lib"]),
    (
        "http",
        &[
            "discovery/dns",
            "protocol",
            "compression",
            "client",
            "server",
            "local",
            "fuzzing",
        ],
    ),
    (
        "tokio",
        &[
            "discovery/dns",
            "discovery/file",
            "discovery/poll",
            "discovery/srv",
            "client",
            "server",
            "local",
            "logs",
            "otel",
            "spawn",
            "streaming/sender",
            "streaming/timers",
            "builtin",
            "testing",
            "fuzzing",
        ],
    ),
];

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

#[test]
fn imports_go_only_down_the_layers() {
    let modules = Modules::read("rpc-runtime");
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

/// A jump of the system clock changes no deadline, timer or budget: only signatures and log records
/// use the time of day.
#[test]
fn only_signatures_and_logs_read_the_wall_clock() {
    let users: Vec<_> = Modules::read("rpc-runtime")
        .0
        .into_iter()
        .filter(|(_, module)| {
            ["SystemTime", "jiff::"]
                .iter()
                .any(|t| module.code.contains(t))
        })
        .map(|(name, _)| name)
        .filter(|name| {
            // The last one compares two dates of a response.
            !["identity", "logs", "protocol/connect/retry_after"]
                .iter()
                .any(|allowed| name.starts_with(allowed))
        })
        .collect();
    assert!(users.is_empty(), "{users:?}");
}

/// A function that records the line of its caller has one of the standard library if it is passed
/// as a value: `map_err(|error| failed(error))` names its own line.
#[test]
fn functions_that_record_lines_are_not_values() {
    let mut values = Vec::new();
    for package in ["rpc-runtime", "fibpro"] {
        for (name, module) in Modules::read(package).0 {
            let tokens = modules::tokens(&module.code);
            for function in line_recorders(&tokens) {
                let is_value = |way: &[&str]| {
                    let takes_function = way[0].ends_with("map_err") || way[0].ends_with("_else");
                    takes_function && way[1..] == ["(", function, ")"]
                };
                if tokens.windows(4).any(is_value) {
                    values.push(format!("{package}/{name}: {function}"));
                }
            }
        }
    }
    assert!(values.is_empty(), "{values:#?}");
}

/// Returns the names of the functions with `#[track_caller]`.
fn line_recorders<'c>(tokens: &[&'c str]) -> Vec<&'c str> {
    let marks = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| **token == "track_caller");
    let names = marks.filter_map(|(at, _)| {
        let after = &tokens[at..];
        let keyword = after.iter().position(|token| *token == "fn")?;
        after.get(keyword + 1).copied()
    });
    names.collect()
}

#[test]
fn external_crates_are_named_where_allowed() {
    let modules = Modules::read("rpc-runtime");
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
