//! The reports as a table, one row for each service.
//!
//! Not shared with the table of `fibpro status`, whose numbers have a fixed width and whose rows
//! are followed by notes; here each column is as wide as its cells.

use std::io::{self, Write};

use super::{ServiceReport, Stats};
use crate::terminal::one_line;
use crate::tool::format::time_text;

const HEAD: [&str; 11] = [
    "SERVICE", "STATE", "ENV", "VERSION", "LATENCY", "REQUESTS", "%ERRORS", "%REFUSED", "P50",
    "P99", "ADDRESS",
];

/// The columns of names; all others are numbers and right-aligned.
const NAMES: [usize; 5] = [0, 1, 2, 3, 10];

/// Writes a row for each service and, below the table, the errors of those that are down. Each line
/// ends with `line_end`, which for a redrawn screen contains more than a line feed.
///
/// # Errors
///
/// Those of `out`.
pub fn write_table(all: &[ServiceReport], line_end: &str, out: &mut impl Write) -> io::Result<()> {
    let rows: Vec<_> = all.iter().map(cells).collect();
    let head = HEAD.map(str::to_owned);
    let widths: Vec<_> = (0..HEAD.len())
        .map(|column| {
            let cells = [&head].into_iter().chain(&rows);
            let widths = cells.map(|cells| cells[column].chars().count());
            widths.max().unwrap_or_default()
        })
        .collect();
    for cells in [&head].into_iter().chain(&rows) {
        let mut line = String::new();
        for (column, cell) in cells.iter().enumerate() {
            let width = widths[column];
            let cell = if NAMES.contains(&column) {
                format!("{cell:width$}  ")
            } else {
                format!("{cell:>width$}  ")
            };
            line.push_str(&cell);
        }
        write!(out, "{}{line_end}", line.trim_end())?;
    }
    for seen in all {
        if let Some(error) = &seen.error {
            let [service, code, message] =
                [&seen.service, &error.code, &error.message].map(|text| one_line(text));
            write!(out, "{service} is down: {code}: {message}{line_end}")?;
        }
        let dropped = seen
            .numbers
            .as_ref()
            .and_then(|numbers| numbers.logs_dropped);
        if let Some(dropped) = dropped.filter(|dropped| *dropped > 0) {
            write!(
                out,
                "{} dropped {dropped} log records{line_end}",
                one_line(&seen.service)
            )?;
        }
    }
    Ok(())
}

fn cells(seen: &ServiceReport) -> [String; 11] {
    let state = if seen.up { "up" } else { "DOWN" };
    let [
        environment,
        version,
        latency,
        requests,
        errors,
        refused,
        p50,
        p99,
    ] = match &seen.numbers {
        Some(numbers) => of_numbers(numbers),
        None => [const { String::new() }; 8].map(|_| "-".to_owned()),
    };
    [
        seen.service.clone(),
        state.to_owned(),
        environment,
        version,
        latency,
        requests,
        errors,
        refused,
        p50,
        p99,
        seen.address.clone(),
    ]
    .map(|cell| one_line(&cell).into_owned())
}

fn of_numbers(numbers: &Stats) -> [String; 8] {
    let time = |microseconds: Option<u64>| microseconds.map_or_else(|| "-".to_owned(), time_text);
    let version = match numbers.version.as_str() {
        "" => "-",
        version => version,
    };
    [
        numbers.environment.clone(),
        version.to_owned(),
        time_text(numbers.latency_us),
        numbers.requests.to_string(),
        format!("{:.1}", numbers.errors_percent),
        format!("{:.1}", numbers.refused_percent),
        time(numbers.p50_us),
        time(numbers.p99_us),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::ProbeError;
    use super::*;

    fn down() -> ServiceReport {
        ServiceReport {
            service: "pricing".to_owned(),
            address: "http://127.0.0.1:9004".to_owned(),
            up: false,
            error: Some(ProbeError {
                code: "unavailable".to_owned(),
                message: "cannot connect\u{1b}[2J".to_owned(),
            }),
            numbers: None,
        }
    }

    fn up() -> ServiceReport {
        ServiceReport {
            service: "logsink".to_owned(),
            address: "http://127.0.0.1:9002".to_owned(),
            up: true,
            error: None,
            numbers: Some(Stats {
                environment: "prod".to_owned(),
                instance: "127.0.0.1:9002".to_owned(),
                version: "0.1.0".to_owned(),
                uptime_s: 2.5,
                latency_us: 312,
                requests: 1000,
                in_flight: 0,
                failed: 25,
                failed_percent: 2.5,
                errors: 20,
                errors_percent: 2.0,
                refused: 5,
                refused_percent: 0.5,
                p50_us: Some(1529),
                p99_us: None,
                logs_dropped: Some(3),
            }),
        }
    }

    #[test]
    fn h02_columns_align_when_a_service_is_down() {
        let mut out = Vec::new();
        write_table(&[up(), down()], "\n", &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "SERVICE  STATE  ENV   VERSION  LATENCY  REQUESTS  %ERRORS  %REFUSED      P50  P99  ADDRESS\n\
             logsink  up     prod  0.1.0     312 µs      1000      2.0       0.5  1.52 ms    -  http://127.0.0.1:9002\n\
             pricing  DOWN   -     -              -         -        -         -        -    -  http://127.0.0.1:9004\n\
             logsink dropped 3 log records\n\
             pricing is down: unavailable: cannot connect\\u{1b}[2J\n"
        );
    }

    #[test]
    fn no_text_of_a_service_reaches_the_terminal_as_it_is() {
        let evil = "\u{1b}]0;x\u{7}\u{9b}2J\r\n\u{202e}";
        let mut seen = up();
        seen.service = evil.to_owned();
        seen.address = evil.to_owned();
        if let Some(numbers) = &mut seen.numbers {
            numbers.environment = evil.to_owned();
            numbers.version = evil.to_owned();
        }
        let mut gone = down();
        gone.service = evil.to_owned();
        if let Some(error) = &mut gone.error {
            error.code = evil.to_owned();
            error.message = evil.to_owned();
        }
        let mut out = Vec::new();
        write_table(&[seen, gone], "\n", &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 5, "{text:?}");
        assert!(
            !text.replace('\n', "").contains(crate::terminal::is_unsafe),
            "{text:?}"
        );
    }
}
