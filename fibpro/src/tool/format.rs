//! Numbers with units, for people.

use std::time::Duration;

/// Formats a duration with three digits and a unit, such as `1.52 ms`.
#[must_use]
pub fn time_text(microseconds: u64) -> String {
    let (unit, scale) = match microseconds {
        0..1000 => return format!("{microseconds} µs"),
        1000..1_000_000 => ("ms", 1000),
        _ => ("s", 1_000_000),
    };
    let (whole, rest) = (microseconds / scale, microseconds % scale * 1000 / scale);
    match whole {
        0..10 => format!("{whole}.{:02} {unit}", rest / 10),
        10..100 => format!("{whole}.{} {unit}", rest / 100),
        _ => format!("{whole} {unit}"),
    }
}

/// Formats a duration with its two largest units, such as `3 h 12 min`.
///
/// Not `humantime` or jiff: neither prints this form.
#[must_use]
pub fn uptime_text(uptime: Duration) -> String {
    let seconds = uptime.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        for (microseconds, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1000, "1.00 ms"),
            (1529, "1.52 ms"),
            (15_290, "15.2 ms"),
            (152_900, "152 ms"),
            (1_009_000, "1.00 s"),
            (4_294_967_295, "4294 s"),
        ] {
            assert_eq!(time_text(microseconds), text);
        }
        for (seconds, text) in [
            (59, "59 s"),
            (61, "1 min 1 s"),
            (11_520, "3 h 12 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(uptime_text(Duration::from_secs(seconds)), text);
        }
    }
}
