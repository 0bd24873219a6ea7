//! Observer that logs one `tracing` event per call.

use tracing::Level;
use tracing::level_filters::LevelFilter;

use super::{CallEnd, CallStart, Observer, Side};
use crate::descriptor::MethodDescriptor;
use crate::error::{Code, Error};

/// Logs a `tracing` event with the target `rpc` for each call that ends.
///
/// The level depends on the code: `error` for faults of the server, `warn` for failures that an
/// operator should see, `info` otherwise. Clients log successful calls at `debug`, because the
/// server logs them too.
///
/// | fields | |
/// | --- | --- |
/// | `side` | `server` or `client` |
/// | `request_id`, `source` | of the call; `-` if unknown |
/// | `rpc.method` | full name of the service, `/`, wire name; on a plain HTTP route the verb, as in `http GET` |
/// | `code` | `ok` or the code |
/// | `duration_us`, `request_bytes`, `response_bytes` | |
/// | `error` | private text, hops and causes on one line |
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct TracingObserver;

impl Observer for TracingObserver {
    fn call_ended(&self, call: &CallStart, end: &CallEnd<'_>) {
        write(call, end, "call");
    }

    /// Logs attempts that are followed by another one; the last attempt is covered by the call's
    /// event.
    fn attempt_ended(&self, attempt: &CallStart, end: &CallEnd<'_>) {
        if let Some(wait) = end.retry_in {
            tracing::info!(
                target: "rpc",
                request_id = attempt.context.request_id(),
                "rpc.method" = attempt.method.map_or("-", MethodDescriptor::full_name),
                code = end.code().map_or("ok", Code::as_str),
                attempt = attempt.attempt,
                retry_in_us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX),
                target = attempt.target.as_deref(),
                error = end.error.map(one_line),
                "attempt failed, retrying"
            );
        }
    }

    fn detached_ended(&self, call: &CallStart, end: &CallEnd<'_>) {
        write(call, end, "detached work");
    }
}

fn level(call: &CallStart, code: Option<Code>) -> Level {
    match code {
        // An unknown path. Any client can request one, and warnings about them would hide real
        // ones.
        Some(Code::Unimplemented) if call.method.is_none() && call.http.is_none() => Level::INFO,
        None if call.side == Side::Client => Level::DEBUG,
        None
        | Some(
            Code::NotFound
            | Code::Canceled
            | Code::AlreadyExists
            | Code::InvalidArgument
            | Code::Unauthenticated,
        ) => Level::INFO,
        Some(
            Code::DeadlineExceeded
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::Unimplemented,
        ) => Level::WARN,
        Some(Code::Unknown | Code::Internal | Code::DataLoss) => Level::ERROR,
    }
}

fn write(call: &CallStart, end: &CallEnd<'_>, what: &'static str) {
    let level = level(call, end.code());
    // A single atomic read if no subscriber wants this level.
    if level > LevelFilter::current() {
        return;
    }
    call.within(|| write_at(level, call, end, what));
}

fn write_at(level: Level, call: &CallStart, end: &CallEnd<'_>, what: &'static str) {
    // The level of an event must be a constant, so each level needs its own call site.
    macro_rules! event {
        ($level:expr) => {
            tracing::event!(
                target: "rpc",
                $level,
                side = match call.side { Side::Server => "server", Side::Client => "client" },
                request_id = call.context.request_id(),
                source = call.context.source().map_or("-", |source| source.as_str()),
                "rpc.method" = name(call),
                code = end.code().map_or("ok", Code::as_str),
                duration_us = u64::try_from(end.duration.as_micros()).unwrap_or(u64::MAX),
                request_bytes = call.request_bytes,
                response_bytes = end.response_bytes,
                target = call.target.as_deref(),
                error = end.error.map(one_line),
                "{what}"
            )
        };
    }
    match level {
        Level::ERROR => event!(Level::ERROR),
        Level::WARN => event!(Level::WARN),
        Level::INFO => event!(Level::INFO),
        _ => event!(Level::DEBUG),
    }
}

fn name(call: &CallStart) -> &'static str {
    let method = call.method.map(MethodDescriptor::full_name);
    method.or(call.http).unwrap_or("-")
}

/// Formats an error with its hops on one line. `tracing` quotes and escapes string fields, so text
/// that came from a caller cannot look like other fields or events.
fn one_line(error: &Error) -> String {
    format!("{error:#}").replace('\n', " |")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_always_one_line() {
        let error = Error::new(Code::NotFound, "no user `a\nINFO forged\u{1b}[31m\u{2028}`");
        let line = one_line(&error);
        assert!(
            line.starts_with("not_found: no user `a\\u{a}INFO forged\\u{1b}[31m\\u{2028}` |"),
            "{line}"
        );
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}
