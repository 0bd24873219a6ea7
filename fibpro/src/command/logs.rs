//! `fibpro logs`: shows stored log records, and follows new ones.

use std::io::{self, Write};
use std::time::Duration;

use fibpro::api::logsink::{Level, LogSinkClient, Query, StoredRecord, WAIT_LIMIT_MS};
use fibpro::process::print_note;
use fibpro::service::logsink::append_line;
use fibpro::terminal::{self, one_line};
use jiff::{Span, SpanRelativeTo, Timestamp};
use rpc_runtime::{Code, RequestId};
use tokio::time::{Instant, sleep};

use super::CommandError;
use super::target::SinkTarget;

/// Timeout of a request, in addition to the time that it waits for records.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Delay before the next request to a sink that fails, or that returns an empty page at once.
const PAUSE: Duration = Duration::from_millis(500);

/// Show the records that the log sink has stored
///
/// Prints time, level and line of each record that matches all conditions, in the order of
/// acceptance. If more records match than the limit allows, prints the last ones. Exits with 0 even
/// if nothing matches.
#[derive(Debug, clap::Args)]
pub(crate) struct LogsOptions {
    /// Only records of this request
    #[arg(long, value_name = "ID", value_parser = request_id)]
    request: Option<RequestId>,

    /// Only records of this server: NAME, NAME@ENVIRONMENT or NAME@ENVIRONMENT/INSTANCE
    #[arg(long)]
    source: Option<String>,

    /// Only records of this level or a more severe one: debug, info, warn or error
    #[arg(long)]
    level: Option<Level>,

    /// Only records written at this time or later: `5m`, `2h 30m`, `1d` (ago), or a time such as
    /// `2026-11-22T12:25:34Z`
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,

    /// Only records written before this time, in the same forms
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,

    /// Only records that contain this text; ASCII letters match in either case
    #[arg(long)]
    text: Option<String>,

    /// Maximum number of records; with --follow, of earlier records
    #[arg(long, default_value_t = fibpro::api::logsink::QUERY_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=i64::from(fibpro::api::logsink::QUERY_LIMIT)))]
    limit: u32,

    /// Print new records as they arrive, until Ctrl-C
    #[arg(long, short)]
    follow: bool,

    /// Print one JSON object for each record, for programs
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    sink: SinkTarget,
}

pub(crate) async fn run(options: LogsOptions, out: &mut impl Write) -> Result<(), CommandError> {
    let logsink = LogSinkClient::with_client(options.sink.client()?);
    let query = Query {
        request_id: options.request,
        source: options.source,
        level: options.level,
        since: options.since,
        until: options.until,
        text: options.text,
        limit: Some(options.limit),
        ..Query::default()
    };
    let json = options.json;
    if options.follow {
        return tokio::select! {
            outcome = follow(&logsink, query, json, out) => outcome,
            // Ctrl-C is the documented end of --follow, so the exit code is 0.
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
    }
    let mut page = logsink.query(&query).await?;
    // Services export at different times; sorting by time restores the order of events.
    page.records.sort_by_key(|stored| stored.record.time);
    print(&page.records, json, out).map_err(CommandError::Output)?;
    if page.records.is_empty() {
        print_note("no record matches");
    } else if page.more {
        print_note(format_args!(
            "more records match; these are the last {}",
            page.records.len()
        ));
    }
    Ok(())
}

async fn follow(
    logsink: &LogSinkClient,
    mut query: Query,
    json: bool,
    out: &mut impl Write,
) -> Result<(), CommandError> {
    let mut waiting = false;
    loop {
        let begun = Instant::now();
        let wait = Duration::from_millis(query.wait_ms.unwrap_or_default().into());
        let page = match logsink.query(&query).timeout(wait + RESPONSE_TIMEOUT).await {
            Ok(page) => page,
            Err(error) if is_passing(error.code()) => {
                if !std::mem::replace(&mut waiting, true) {
                    print_note(format_args!(
                        "waiting for the log sink: {}",
                        one_line(error.message())
                    ));
                }
                sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if std::mem::take(&mut waiting) {
            print_note("the log sink responds again");
        }
        print(&page.records, json, out).map_err(CommandError::Output)?;
        // A sink that does not wait for records is polled at a lower rate.
        if query.wait_ms.is_some() && page.records.is_empty() && begun.elapsed() < PAUSE {
            sleep(PAUSE).await;
        }
        query.after = Some(page.next);
        query.wait_ms = Some(WAIT_LIMIT_MS - 5_000);
        query.limit = Some(fibpro::api::logsink::QUERY_LIMIT);
    }
}

/// Returns whether a sink that is restarting, or whose disk is full, fails with this code and
/// recovers later.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted
    )
}

fn print(records: &[StoredRecord], json: bool, out: &mut impl Write) -> io::Result<()> {
    let mut text = String::new();
    for stored in records {
        if json {
            text.push_str(&terminal::json(stored)?);
            text.push('\n');
        } else {
            let record = &stored.record;
            let level = record.level.as_str();
            text.push_str(&format!("{:.3} {level:<5} ", record.time));
            append_line(record, &mut text);
        }
    }
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn request_id(text: &str) -> Result<RequestId, &'static str> {
    RequestId::parse(text)
        .ok_or("invalid request ID: expected 1 to 64 letters, digits, `.`, `_` or `-`")
}

/// Parses a time, or a duration before now.
fn time(text: &str) -> Result<Timestamp, String> {
    let wrong = "expected a duration before now, such as `5m`, `2h 30m` or `1d`, or a time such as `2026-11-22T12:25:34Z`";
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let ago = text.parse::<Span>();
    // Months and years have no fixed length.
    let ago = ago.and_then(|ago| ago.to_duration(SpanRelativeTo::days_are_24_hours()));
    ago.and_then(|ago| Timestamp::now().checked_sub(ago.abs()))
        .map_err(|_| wrong.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_they_are_or_as_how_long_ago() {
        let at = "2026-11-22T12:25:34.021Z";
        assert_eq!(time(at), Ok(at.parse().unwrap()));
        assert_eq!(time("2026-11-22T13:25:34.021+01:00"), time(at));
        for (text, seconds) in [
            ("5m", 300),
            ("2h 30m", 9000),
            ("90s", 90),
            ("1h30m", 5400),
            ("1d", 86_400),
            ("1d 12h", 129_600),
            ("2 weeks", 1_209_600),
            ("-1d", 86_400),
            ("P1DT1H", 90_000),
        ] {
            let then = time(text).unwrap();
            let ago = Timestamp::now().duration_since(then);
            assert!((seconds..seconds + 60).contains(&ago.as_secs()), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "5",
            "22.11.2026",
            "1 month",
            "1y",
            "999999w",
        ] {
            assert!(
                time(text)
                    .unwrap_err()
                    .starts_with("expected a duration before now"),
                "{text}"
            );
        }
    }
}
