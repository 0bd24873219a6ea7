//! Observer that logs one `tracing` event per call.

use tracing::Level;
use tracing::level_filters::LevelFilter;

use super::{CallEnd, CallStart, LogThrottle, Observer, Rejection, Side};
use crate::descriptor::MethodDescriptor;
use crate::error::{Code, Error};
use crate::text::{self, EscapeControl};

/// Failures of a kind that callers can cause as often as they want. Each is logged at `info`, and
/// some at `warn`, with the number so far in this process.
struct Provoked {
    text: &'static str,
    count: LogThrottle,
}

impl Provoked {
    const fn new(text: &'static str) -> Self {
        Self {
            text,
            count: LogThrottle::new(),
        }
    }
}

static OVERSIZED: Provoked = Provoked::new("request above a limit of size refused; `count` so far");
static FORBIDDEN: Provoked =
    Provoked::new("request of an untrusted caller refused with 403; `count` so far");
static TOO_MANY: Provoked =
    Provoked::new("request of an untrusted caller refused with 429; `count` so far");
static REFUSED: Provoked =
    Provoked::new("call of an untrusted caller failed by its own fault; `count` so far");
static TOO_LATE: Provoked =
    Provoked::new("the deadline of an untrusted caller passed; `count` so far");

/// Logs a `tracing` event with the target `rpc` for each call that ends.
///
/// A failed call is one event in the server where it failed, and one where its chain ends: at an
/// edge, on a plain HTTP route, or for a caller that does not receive chains. In between, servers
/// that pass the error on with the same code log at `debug`, and clients always do. So no failure
/// is repeated, and the last event has all servers that the error passed.
///
/// The level depends on the code: `error` for faults of the server, `warn` for failures that an
/// operator should see, `info` otherwise:
///
/// | level | codes |
/// | --- | --- |
/// | `error` | `unknown`, `unimplemented`, `internal`, `data_loss` |
/// | `warn` | `deadline_exceeded`, `permission_denied`, `resource_exhausted`, `failed_precondition`, `aborted`, `out_of_range`, `unavailable` |
/// | `info` | success, `canceled`, `invalid_argument`, `not_found`, `already_exists`, `unauthenticated`; an unknown path or compression; a request above a limit of size, and a peer or web page that the listener refuses, and of an untrusted caller a call that is denied, above its rate limit or fails by its own fault (`failed_precondition`, `aborted`, `out_of_range`, without an error of a dependency), a request that a plain HTTP route refuses with 403 or 429, and one whose own deadline passes, of which a `warn` event counts some |
///
/// | fields | |
/// | --- | --- |
/// | `side` | `server` or `client` |
/// | `request_id`, `source` | of the call; `-` if unknown |
/// | `trace_id` | of the trace, if the call has one, in 32 hexadecimal digits |
/// | `user.id` | the subject of the user, if the call has one |
/// | `rpc.method` | full name of the service, `/`, wire name; on a plain HTTP route the verb, as in `http GET` |
/// | `code` | `ok` or the code; on a plain HTTP route that of the status |
/// | `duration_us`, `request_bytes`, `response_bytes` | |
/// | `peer` | the address of a caller that is not trusted; see [`Context::peer_address`](crate::Context::peer_address) |
/// | `http.status` | on a plain HTTP route |
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
            tracing::debug!(
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

fn level(call: &CallStart, end: &CallEnd<'_>) -> Level {
    if call.side == Side::Client || is_passed_on(call, end) {
        return Level::DEBUG;
    }
    match end.code() {
        // An unknown path or compression, a body that does not arrive. Any client can send that,
        // and lines about it would hide real errors.
        Some(code) if end.is_bad_request && code.is_server_error() => Level::INFO,
        // A peer or web page that the listener refuses, which `PeerRefusals` logs.
        Some(Code::PermissionDenied) if end.is_bad_request && end.http_status.is_none() => {
            Level::INFO
        }
        // `count_provoked` counts them.
        _ if provoked(call, end).is_some() => Level::INFO,
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
            | Code::Unavailable,
        ) => Level::WARN,
        Some(Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss) => Level::ERROR,
    }
}

/// Returns the kind of a failure that the caller can cause as often as it wants.
fn provoked(call: &CallStart, end: &CallEnd<'_>) -> Option<&'static Provoked> {
    let code = end.code()?;
    if call.side == Side::Client {
        return None;
    }
    let context = &call.context;
    match (code, end.http_status) {
        // Its path, headers or body.
        (Code::ResourceExhausted, None | Some(413 | 431)) if end.is_bad_request => Some(&OVERSIZED),
        _ if !context.has_untrusted_caller() => None,
        (Code::ResourceExhausted, Some(_)) if end.is_bad_request => Some(&TOO_MANY),
        (Code::ResourceExhausted, _) if end.rejection == Some(Rejection::RateLimit) => {
            Some(&TOO_MANY)
        }
        (Code::PermissionDenied, Some(_)) if end.is_bad_request => Some(&FORBIDDEN),
        // Not a page or peer that the listener refuses, which `PeerRefusals` counts.
        (Code::PermissionDenied, None) if !end.is_bad_request && is_own(end) => Some(&FORBIDDEN),
        (Code::FailedPrecondition | Code::Aborted | Code::OutOfRange, None) if is_own(end) => {
            Some(&REFUSED)
        }
        (Code::DeadlineExceeded, _)
            if context.has_caller_deadline()
                && context.remaining().is_some_and(|left| left.is_zero()) =>
        {
            Some(&TOO_LATE)
        }
        _ => None,
    }
}

/// Returns whether the server itself failed the call: the error of a dependency may be a fault of
/// this system.
fn is_own(end: &CallEnd<'_>) -> bool {
    end.error.is_none_or(|error| error.hops().is_empty())
}

/// Logs some of the failures that callers can cause as often as they want.
fn count_provoked(call: &CallStart, end: &CallEnd<'_>) {
    let Some(kind) = provoked(call, end) else {
        return;
    };
    if let Some(count) = kind.count.record() {
        call.within(|| {
            tracing::warn!(
                target: "rpc",
                request_id = call.context.request_id(),
                reason = end.error.map(one_line),
                count,
                "{}",
                kind.text
            );
        });
    }
}

/// Returns whether the error is that of a dependency, which has logged it, and the caller will log
/// its chain. A server that changes the code logs the error, because the dependency did not know
/// that meaning.
fn is_passed_on(call: &CallStart, end: &CallEnd<'_>) -> bool {
    let origin = end.error.and_then(|error| error.hops().first());
    call.chain_is_sent && origin.is_some_and(|origin| end.code() == Some(origin.code))
}

fn write(call: &CallStart, end: &CallEnd<'_>, what: &'static str) {
    count_provoked(call, end);
    let level = level(call, end);
    // A single atomic read if no subscriber wants this level.
    if level > LevelFilter::current() {
        return;
    }
    call.within(|| write_at(level, call, end, what));
}

fn write_at(level: Level, call: &CallStart, end: &CallEnd<'_>, what: &'static str) {
    let user = call.context.principal();
    let user = user
        .as_ref()
        .map(|user| EscapeControl(user.subject()).to_cow());
    let trace = call.context.trace();
    let trace = trace.map(|trace| format!("{:032x}", trace.trace_id()));
    // The level of an event must be a constant, so each level needs its own call site.
    macro_rules! event {
        ($level:expr) => {
            tracing::event!(
                target: "rpc",
                $level,
                side = match call.side { Side::Server => "server", Side::Client => "client" },
                request_id = call.context.request_id(),
                trace_id = trace.as_deref(),
                source = call.context.source().map_or("-", |source| source.as_str()),
                "user.id" = user.as_deref(),
                "rpc.method" = name(call),
                code = end.code().map_or("ok", Code::as_str),
                duration_us = u64::try_from(end.duration.as_micros()).unwrap_or(u64::MAX),
                request_bytes = call.request_bytes,
                response_bytes = end.response_bytes,
                target = call.target.as_deref(),
                peer = call.context.stranger().map(tracing::field::display),
                "http.status" = end.http_status,
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

/// The maximum size of an error in a log event, in bytes. It has room for a chain of hops with
/// their messages.
const MAX_LINE: usize = 16 << 10;

/// Formats an error with its hops on one line. `tracing` quotes and escapes string fields, so text
/// that came from a caller cannot look like other fields or events.
fn one_line(error: &Error) -> String {
    let text = text::format_truncated(format_args!("{error:#}"), MAX_LINE);
    text.replace('\n', " |")
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

    #[test]
    fn a_line_ends_at_its_limit() {
        let error = Error::new(Code::NotFound, "\u{1b}".repeat(1 << 20));
        let line = one_line(&error);
        assert!(line.starts_with("not_found: \\u{1b}"), "{}", &line[..40]);
        assert!(line.ends_with('…') && line.len() < MAX_LINE + 10);
    }
}
