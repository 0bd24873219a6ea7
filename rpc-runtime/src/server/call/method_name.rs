//! Names and paths of methods: resolves the names in policies and rate limits.

use crate::descriptor::full_name;
use crate::error::{Code, Error};
use crate::text::suggest;

/// Returns whether a path has the form of a method: `/package.Service/Method`.
pub(crate) fn is_path(path: &str) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let parts = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    parts.is_some_and(|(service, method)| {
        service.contains('.') && service.split('.').all(is_name) && is_name(method)
    })
}

/// Returns the path of the method that `setting` names, with or without the leading slash.
///
/// # Errors
///
/// `failed_precondition` for a name that is not a method of the server, with the most similar
/// method name.
pub(crate) fn resolve(
    paths: impl Iterator<Item = &'static str> + Clone,
    name: &str,
    setting: &str,
) -> Result<&'static str, Error> {
    let wanted = full_name(name);
    if let Some(path) = paths.clone().find(|path| full_name(path) == wanted) {
        return Ok(path);
    }
    // Compares letters and digits only, so that a method's Rust name suggests its wire name.
    let letters = |name: &str| -> String {
        let letters = name.chars().filter(|c| c.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect()
    };
    let nearest = suggest(wanted, paths, letters);
    let advice = nearest.map_or_else(
        || "write the name as on the wire, such as `fibpro.v1.Pricing/Pay`".to_owned(),
        |path| format!("did you mean {}?", full_name(path)),
    );
    Err(Error::without_location(
        Code::FailedPrecondition,
        format!("{setting} names the unknown method {name}; {advice}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_methods() {
        for path in ["/a.B/C", "/fibpro.v1.LogSink/RecvLog", "/_a.b_1/c_2"] {
            assert!(is_path(path), "{path}");
        }
        for path in [
            "",
            "/",
            "/a.B",
            "/a.B/",
            "/a.B/C/",
            "/a.B/C/D",
            "/B/C",
            "//C",
            "a.B/C",
            "/a..B/C",
            "/.B/C",
            "/a./C",
            "/a.1/C",
            "/a.B/c.css",
            "/a.B/c-d",
            "/a-b.C/D",
            "/a.B/%43",
        ] {
            assert!(!is_path(path), "{path}");
        }
    }
}
