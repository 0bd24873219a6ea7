//! The methods of a server by the names that settings give them.

use std::collections::HashMap;

use super::service::Route;
use crate::error::{Code, Error};
use crate::text::suggest;

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
    // A name written as in Rust means the one on the wire.
    let letters = |name: &str| -> String {
        let letters = name.chars().filter(|c| c.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect()
    };
    let nearest = suggest(wanted, known(), letters);
    let advice = nearest.map_or_else(
        || "write the name as on the wire, such as `fibpro.v1.Pricing/Pay`".to_owned(),
        |path| format!("did you mean {}?", path.trim_start_matches('/')),
    );
    Err(Error::without_location(
        Code::FailedPrecondition,
        format!("{setting} names {name}, and no service of the server has that method; {advice}"),
    ))
}
