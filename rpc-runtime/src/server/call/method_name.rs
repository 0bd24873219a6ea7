//! Resolves the method names in policies and rate limits.

use crate::error::{Code, Error};
use crate::text::suggest;

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
    let wanted = name.trim_start_matches('/');
    if let Some(path) = paths
        .clone()
        .find(|path| path.trim_start_matches('/') == wanted)
    {
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
        |path| format!("did you mean {}?", path.trim_start_matches('/')),
    );
    Err(Error::without_location(
        Code::FailedPrecondition,
        format!("{setting} names the unknown method {name}; {advice}"),
    ))
}
