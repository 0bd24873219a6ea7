//! Times as people write them, in options, flags, headers and attributes alike: `500ms`, `5s`.

use std::time::{Duration, Instant};

/// A timeout in place of one that is too long for the clock: one year.
const FAR_FUTURE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The units, from the smallest, with their nanoseconds.
const UNITS: [(&str, u128); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// What a time looks like.
pub(crate) const FORM: &str = "a time with a whole number and a unit: `500ms`, `5s` or `1m`";

/// Reads a time as in `#[rpc(timeout = "2s")]`; `ns`, `us` and `h` are units as well.
///
/// # Errors
///
/// What a time looks like.
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

/// A time in the largest unit in which it is a whole number.
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
    fn a_time_is_read_as_it_was_printed() {
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
    fn what_is_no_time_is_refused() {
        let large = format!("{}h", u64::MAX);
        let larger = format!("{}0s", u128::MAX);
        for text in [
            "", "5", "s", "-1s", "1.5s", "5 s", "5S", "5d", &large, &larger,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
