//! The methods of a server by the names that settings give them.

use std::collections::HashMap;

use super::service::Route;
use crate::descriptor::MethodDescriptor;
use crate::error::{Code, Error};

/// How like a known name another one must be to be offered in its place; 1 is the same.
const LIKENESS: f64 = 0.6;

/// The name of a method as on the wire and in settings: `fibpro.v1.Pricing/Pay`.
pub(super) fn of(method: &MethodDescriptor) -> &'static str {
    method.path.trim_start_matches('/')
}

/// The path of the method that `setting` names, with or without the slash in front.
///
/// # Errors
///
/// `failed_precondition` for a name that no method of the server has, with the one that was probably meant.
pub(super) fn resolve(
    routes: &HashMap<&'static str, Route>,
    name: &str,
    setting: &str,
) -> Result<&'static str, Error> {
    let wanted = name.trim_start_matches('/');
    let known = || routes.keys().copied();
    if let Some(path) = known().find(|path| path.trim_start_matches('/') == wanted) {
        return Ok(path);
    }
    let nearest = known()
        .map(|path| (likeness(path, wanted), path))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|nearest| nearest.0 >= LIKENESS);
    let advice = nearest.map_or_else(
        || "write the name as on the wire, such as `fibpro.v1.Pricing/Pay`".to_owned(),
        |(_, path)| format!("did you mean {}?", path.trim_start_matches('/')),
    );
    Err(Error::unlocated(
        Code::FailedPrecondition,
        format!("{setting} names {name}, and no service of the server has that method; {advice}"),
    ))
}

/// Whoever writes a name as in Rust means the one on the wire.
fn likeness(path: &str, name: &str) -> f64 {
    let plain = |text: &str| -> String {
        let letters = text.chars().filter(|c| c.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect()
    };
    strsim::normalized_damerau_levenshtein(&plain(path), &plain(name))
}
