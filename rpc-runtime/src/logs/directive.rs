//! The directives of a log filter, as people write them: `info`, `sqlx=warn`, `shop::orders`.

use std::env;

use tracing::level_filters::LevelFilter;

use crate::text::{EscapeControl, suggest_level};

/// A directive without a level that is neither a usual target nor a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnusualWord {
    /// It is probably this level.
    Level(&'static str),
    /// It may be a target.
    Target,
}

/// Returns the name of the program's file, which is usually a target.
pub(crate) fn program_name() -> Option<String> {
    let program = env::current_exe().ok()?;
    program.file_stem()?.to_str().map(str::to_owned)
}

/// Returns the directives of a filter.
pub(crate) fn split(filter: &str) -> impl Iterator<Item = &str> {
    let parts = filter.split(',').map(str::trim);
    parts.filter(|part| !part.is_empty())
}

/// Returns a directive in printable form.
pub(crate) fn shown(part: &str) -> String {
    EscapeControl(part).truncated(64)
}

/// Checks a directive, except for its span and fields in brackets.
///
/// # Errors
///
/// Returns the reason, with advice.
pub(crate) fn check(part: &str) -> Result<(), String> {
    // The part in brackets names a span and its fields, in which everything is allowed.
    let plain = part.split('[').next().unwrap_or_default();
    let (target, level) = plain.split_once('=').unwrap_or((plain, "info"));
    let is_allowed = |c: char| c.is_alphanumeric() || "_-./:".contains(c);
    if !target.chars().all(is_allowed) || (target.is_empty() && plain == part) {
        return Err("expected a level, or `TARGET=LEVEL`, separated by commas".to_owned());
    }
    if target.replace("::", "").contains(':') {
        return Err("expected `TARGET=LEVEL`".to_owned());
    }
    let level = part.rsplit_once("]=").map_or(level, |(_, level)| level);
    if level.parse::<LevelFilter>().is_err() || level.is_empty() {
        let advice = match suggest_level(level) {
            Some(suggested) => format!("did you mean `{suggested}`?"),
            None => "the levels are error, warn, info, debug, trace and off".to_owned(),
        };
        return Err(format!("`{}` is not a level; {advice}", shown(level)));
    }
    Ok(())
}

/// Returns what a directive without a level probably is, if it is neither a level nor a usual
/// target. `program` is the name of the running program, which is usually a target.
pub(crate) fn unusual_word(part: &str, program: Option<&str>) -> Option<UnusualWord> {
    let is_word = !part.contains(['=', '[', '_']) && !part.contains("::");
    if !is_word || part.parse::<LevelFilter>().is_ok() || Some(part) == program {
        return None;
    }
    match suggest_level(part) {
        Some(level) => Some(UnusualWord::Level(level)),
        None if part == "rpc" => None,
        None => Some(UnusualWord::Target),
    }
}
