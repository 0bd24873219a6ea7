//! `fibpro logs`: what the log sink has kept, and what comes.

use std::io::{self, Write};
use std::time::Duration;

use fibpro::api::logsink::{Level, LogSinkClient, Query, StoredRecord, WAIT_LIMIT_MS};
use fibpro::process::print_note;
use fibpro::service::logsink::append_line;
use jiff::{SignedDuration, Timestamp};
use rpc_runtime::{Code, RequestId};
use tokio::time::{Instant, sleep};

use super::CommandError;
use super::target::SinkTarget;

/// How long an answer may take beyond the time that it waits for records.
const ANSWER: Duration = Duration::from_secs(10);

/// How long to leave a sink alone that does not answer, or answers at once that there is nothing.
const PAUSE: Duration = Duration::from_millis(500);

/// Show the records that the log sink has kept
///
/// Prints time, level and the line of each record that matches all conditions, in the order in which the sink accepted
/// them; the last ones, if more match than the limit allows. Ends with 0 even if nothing matches.
#[derive(Debug, clap::Args)]
pub(crate) struct LogsOptions {
    /// Of this request
    #[arg(long, value_name = "ID", value_parser = request_id)]
    request: Option<RequestId>,

    /// Of this server: NAME, NAME@ENVIRONMENT or NAME@ENVIRONMENT/INSTANCE
    #[arg(long)]
    source: Option<String>,

    /// Of this level or one that matters more: debug, info, warn or error
    #[arg(long)]
    level: Option<Level>,

    /// Written at this time or later: `5m`, `2h 30m` (ago), or as in `2026-11-22T12:25:34Z`
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,

    /// Written before this time, spelled in the same ways
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,

    /// With this in its text, in upper or lower case
    #[arg(long)]
    text: Option<String>,

    /// At most so many; with --follow, those from before
    #[arg(long, default_value_t = fibpro::api::logsink::QUERY_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=i64::from(fibpro::api::logsink::QUERY_LIMIT)))]
    limit: u32,

    /// Go on with what comes, until Ctrl-C
    #[arg(long, short)]
    follow: bool,

    /// One JSON object a record, for programs
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
            // To end it so is what was asked for.
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
    }
    let mut page = logsink.query(&query).await?;
    // Each service sends its own at its own pace: a story is told in the order in which it happened.
    page.records.sort_by_key(|stored| stored.record.time);
    print(&page.records, json, out).map_err(CommandError::Output)?;
    if page.records.is_empty() {
        print_note("no record matches");
    } else if page.more {
        print_note(format_args!(
            "there are earlier ones that match; these are the last {}",
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
        let page = match logsink.query(&query).timeout(wait + ANSWER).await {
            Ok(page) => page,
            Err(error) if is_passing(error.code()) => {
                if !std::mem::replace(&mut waiting, true) {
                    print_note(format_args!(
                        "waiting for the log sink: {}",
                        error.message()
                    ));
                }
                sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if std::mem::take(&mut waiting) {
            print_note("the log sink is back");
        }
        print(&page.records, json, out).map_err(CommandError::Output)?;
        // Of a sink that cannot let us wait we ask a little less often.
        if query.wait_ms.is_some() && page.records.is_empty() && begun.elapsed() < PAUSE {
            sleep(PAUSE).await;
        }
        query.after = Some(page.next);
        query.wait_ms = Some(WAIT_LIMIT_MS - 5_000);
        query.limit = Some(fibpro::api::logsink::QUERY_LIMIT);
    }
}

/// Whether a sink that starts again, or whose disk is full, ends in this code and answers later.
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
            text.push_str(&serde_json::to_string(stored)?);
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
    RequestId::parse(text).ok_or("a request id has 1 to 64 letters, digits, `.`, `_` or `-`")
}

/// Reads a time, or how long ago it was.
fn time(text: &str) -> Result<Timestamp, String> {
    let wrong =
        "write how long ago, such as `5m` or `2h 30m`, or a time such as `2026-11-22T12:25:34Z`";
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let ago: SignedDuration = text.parse().map_err(|_| wrong.to_owned())?;
    Timestamp::now()
        .checked_sub(ago.abs())
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
        for (text, seconds) in [("5m", 300), ("2h 30m", 9000), ("90s", 90), ("1h30m", 5400)] {
            let then = time(text).unwrap();
            let ago = Timestamp::now().duration_since(then);
            assert!((seconds..seconds + 60).contains(&ago.as_secs()), "{text}");
        }
        for text in ["", "yesterday", "5", "22.11.2026"] {
            assert!(
                time(text).unwrap_err().starts_with("write how long ago"),
                "{text}"
            );
        }
    }
}
