//! Durations in options, flags, fault plans and attributes: `500ms`, `5s`.
//!
//! Hand-written, because the accepted set is narrower than that of `humantime` and of jiff's
//! friendly format: one whole number and one unit, so that each option and flag has one spelling.
//! Both crates also accept `1h 30m`, `5 s` and `5seconds`, and print 1500 ms as `1s 500ms`. The
//! tests below list accepted and rejected forms.

use std::time::{Duration, Instant};

/// A timeout in place of one that is too long for the clock: one year.
pub(crate) const FAR_FUTURE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The units in ascending order, and their nanoseconds.
const UNITS: [(&str, u128); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The accepted form, for error messages.
pub(crate) const FORM: &str =
    "a duration: a whole number and a unit, such as `500ms`, `5s` or `1m`";

/// Parses a duration, such as that of `#[rpc(timeout = "2s")]`. The units are `ns`, `us`, `ms`,
/// `s`, `m` and `h`.
///
/// # Errors
///
/// Returns the expected form.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let nanoseconds = UNITS
        .iter()
        .find(|known| known.0 == unit)
        .zip(number.parse::<u128>().ok())
        .and_then(|(unit, number)| number.checked_mul(unit.1));
    nanoseconds
        .and_then(from_nanoseconds)
        .ok_or_else(|| format!("expected {FORM}"))
}

/// Returns `now + timeout`, or a year from now if the clock cannot count that far.
pub(crate) fn saturating_deadline(now: Instant, timeout: Duration) -> Instant {
    now.checked_add(timeout).unwrap_or(now + FAR_FUTURE)
}

fn from_nanoseconds(all: u128) -> Option<Duration> {
    let seconds = u64::try_from(all / 1_000_000_000).ok()?;
    let rest = u32::try_from(all % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, rest))
}

/// Formats a duration in the largest unit in which it is a whole number.
pub(crate) fn print(time: Duration) -> String {
    let all = time.as_nanos();
    let whole = UNITS.iter().rev().find(|unit| all.is_multiple_of(unit.1));
    match whole {
        Some((unit, size)) if all > 0 => format!("{}{unit}", all / size),
        _ => "0s".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_parsed_as_it_was_printed() {
        for (text, time) in [
            ("0s", Duration::ZERO),
            ("1ns", Duration::from_nanos(1)),
            ("250us", Duration::from_micros(250)),
            ("1500ms", Duration::from_millis(1500)),
            ("59s", Duration::from_secs(59)),
            ("90m", Duration::from_secs(5400)),
            ("24h", Duration::from_secs(86_400)),
        ] {
            assert_eq!(parse(text), Ok(time));
            assert_eq!(print(time), text);
        }
        assert_eq!(parse("120s"), Ok(Duration::from_secs(120)));
        assert_eq!(parse(&print(Duration::MAX)), Ok(Duration::MAX));
    }

    #[test]
    fn other_spellings_are_rejected() {
        let large = format!("{}h", u64::MAX);
        let larger = format!("{}0s", u128::MAX);
        for text in [
            "", "5", "s", "-1s", "+1s", "1.5s", "5 s", "5S", "5d", "5w", "5sec", "5seconds",
            "5min", "1h30m", "1h 30m", "PT5S", "5µs", " 5s", "5s ", "٥s", &large, &larger,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
