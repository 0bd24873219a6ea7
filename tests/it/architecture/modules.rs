//! The modules of a crate and what they import, read from their source files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A path in the code, such as `["crate", "error", "Code"]`.
pub(super) type CodePath = Vec<String>;

/// A module with a file: what it imports and names.
#[derive(Default)]
pub(super) struct Module {
    pub(super) code: String,
    /// The names that `use` brings into scope, for resolving re-exports.
    scope: BTreeMap<String, CodePath>,
    /// The paths of re-exports.
    pub(super) reexports: Vec<CodePath>,
    /// All other paths, in `use` items and elsewhere.
    pub(super) paths: Vec<CodePath>,
}

/// The modules of the crate by path, such as `server/call/stack`; the root is the empty path.
pub(super) struct Modules(pub(super) BTreeMap<String, Module>);

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
    /// Reads the sources of a crate of the workspace, without comments, strings and tests.
    pub(super) fn read(package: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(package)
            .join("src");
        let mut found = Vec::new();
        sources(&root, &mut found);
        let files: Vec<_> = found
            .iter()
            .map(|file| {
                let name = file.strip_prefix(&root).unwrap().with_extension("");
                let name = name.to_string_lossy().replace('\\', "/");
                (name, fs::read_to_string(file).unwrap())
            })
            .collect();
        assert!(
            files.len() > 20,
            "only {} sources of {package}",
            files.len()
        );
        Self::parse(
            files
                .iter()
                .map(|(name, text)| (name.as_str(), text.as_str())),
        )
    }

    /// Parses files of a crate, given by their paths in `src` without extension, and their texts.
    pub(super) fn parse<'f>(files: impl Iterator<Item = (&'f str, &'f str)>) -> Self {
        let is_test = |name: &str| name.split('/').any(|part| part == "tests");
        let files = files.filter(|(name, _)| !is_test(name));
        let modules = files.map(|(name, text)| {
            let path = match name {
                "lib" => "",
                name => name.strip_suffix("/mod").unwrap_or(name),
            };
            let code = text.split("#[cfg(test)]\nmod tests {").next();
            (path.to_owned(), Module::parse(code.unwrap_or_default()))
        });
        Self(modules.collect())
    }

    /// Returns the module that defines the item of a path, or the module that the path names. A
    /// re-export is followed to its origin. `None` for paths of other crates and of local items.
    pub(super) fn resolve(&self, from: &str, path: &[String]) -> Option<String> {
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
    pub(super) fn imports(&self, from: &str) -> BTreeSet<String> {
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

    /// Returns all imports as pairs of modules, without those of the module itself.
    pub(super) fn all_imports(&self) -> Vec<(String, String)> {
        let pairs = self.0.keys().flat_map(|from| {
            let imports = self.imports(from).into_iter();
            imports.map(move |to| (from.clone(), to))
        });
        pairs.filter(|(from, to)| from != to).collect()
    }

    /// Returns the modules with modules below them. The root is the empty path.
    pub(super) fn folders(&self) -> BTreeSet<String> {
        self.0
            .keys()
            .filter(|module| !module.is_empty())
            .map(|module| parent(module))
            .collect()
    }
}

/// Returns the path of the module `name` in the module `base`.
pub(super) fn join(base: &str, name: &str) -> String {
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

/// Returns whether a module is within another one.
pub(super) fn is_below(module: &str, above: &str) -> bool {
    above.is_empty()
        || module
            .strip_prefix(above)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// The tokens of Rust code: identifiers, `::`, and single characters. Comments, strings and
/// characters are left out.
pub(super) fn tokens(code: &str) -> Vec<&str> {
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
