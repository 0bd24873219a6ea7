//! Times as people write them, in options, headers and attributes alike.

use std::time::Duration;

/// A whole number and a unit, as in `#[rpc(timeout = "2s")]`: `500ms`, `5s`, `1m`. `None` for anything else.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let unit = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    number.checked_mul(milliseconds).map(Duration::from_millis)
}
