//! The spans of calls, as OpenTelemetry names them.
//!
//! Names and attributes follow the semantic conventions for RPC, those of Connect.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::Context as OtelContext;
use opentelemetry::trace::{
    SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use tracing::instrument::{Instrument as _, Instrumented};
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{CallEnd, CallStart, Side};
use crate::context::{Context, TraceContext};
use crate::descriptor::MethodDescriptor;
use crate::error::Code;

/// Whether calls have spans.
static IS_ON: AtomicBool = AtomicBool::new(false);

/// Opens a span for each call from now on.
pub(crate) fn trace_calls() {
    IS_ON.store(true, Ordering::Relaxed);
}

/// The span of a call; disabled unless the process traces.
#[derive(Debug)]
pub(crate) struct CallSpan(Span);

impl CallSpan {
    /// Opens the span of a call or request that a server receives.
    pub(super) fn server(call: &CallStart) -> Self {
        if call.side == Side::Client || !IS_ON.load(Ordering::Relaxed) {
            return Self(Span::none());
        }
        let context = &call.context;
        let name = call.method.map_or("unknown", MethodDescriptor::full_name);
        let verb = call.http.and_then(|label| label.strip_prefix("http "));
        let span = info_span!(
            target: "rpc",
            "call",
            "otel.name" = verb.unwrap_or(name),
            "otel.kind" = "server",
            request_id = context.request_id(),
            method = call.method.map_or(verb.unwrap_or("-"), |method| method.name),
        );
        // An error means that the subscriber does not record the span.
        let _ = span.set_parent(remote(context.trace()));
        if let Some(link) = context.trace_link() {
            span.add_link(span_context(link));
        }
        match (verb, call.method) {
            (Some(verb), _) => span.set_attribute("http.request.method", verb),
            (None, method) => describe(&span, method),
        }
        if let Some(source) = context.source() {
            span.set_attribute("rpc.source", source.as_str().to_owned());
        }
        Self(span)
    }

    /// Opens the span of a call that a client makes. Its parent is the current span, or the trace
    /// of the context if that is another one.
    pub(crate) fn client(
        method: &'static MethodDescriptor,
        callers: &Context,
        target: &str,
    ) -> Self {
        if !IS_ON.load(Ordering::Relaxed) {
            return Self(Span::none());
        }
        let current = Span::current().context();
        let current = current.span().span_context().trace_id();
        let span = info_span!(
            target: "rpc",
            "client call",
            "otel.name" = method.full_name(),
            "otel.kind" = "client",
        );
        let trace = callers.trace();
        if trace.is_some_and(|trace| trace_id(trace) != current) {
            // An error means that the subscriber does not record the span.
            let _ = span.set_parent(remote(trace));
        }
        describe(&span, Some(method));
        let (address, port) = address(target);
        span.set_attribute("server.address", address.to_owned());
        if let Some(port) = port {
            span.set_attribute("server.port", i64::from(port));
        }
        Self(span)
    }

    /// Returns the trace with this span as the parent of what follows; `None` if the span is not
    /// recorded by OpenTelemetry.
    fn trace(&self) -> Option<TraceContext> {
        if self.0.is_disabled() {
            return None;
        }
        let context = self.0.context();
        let span = context.span();
        let span = span.span_context();
        if !span.is_valid() {
            return None;
        }
        let state = span.trace_state().header();
        Some(TraceContext::of_span(
            u128::from_be_bytes(span.trace_id().to_bytes()),
            u64::from_be_bytes(span.span_id().to_bytes()),
            span.trace_flags().to_u8(),
            Some(state).filter(|state| !state.is_empty()),
        ))
    }

    /// Returns the context with this span as the parent of its calls; `None` if that changes
    /// nothing.
    pub(crate) fn context(&self, context: &Context) -> Option<Context> {
        Some(context.with_trace(self.trace()?))
    }

    /// Returns this span, or the one that `other` opens if the process does not trace.
    pub(crate) fn or(&self, other: impl FnOnce() -> Span) -> Span {
        if self.0.is_disabled() {
            other()
        } else {
            self.0.clone()
        }
    }

    /// Runs a future in this span.
    pub(crate) fn instrument<F: Future>(&self, future: F) -> Instrumented<F> {
        future.instrument(self.0.clone())
    }

    /// Records how the call ended.
    pub(super) fn end(&self, call: &CallStart, end: &CallEnd<'_>) {
        let span = &self.0;
        if span.is_disabled() {
            return;
        }
        if let Some(status) = end.http_status {
            span.set_attribute("http.response.status_code", i64::from(status));
        }
        let Some(code) = end.code() else {
            return;
        };
        if end.http_status.is_none() {
            span.set_attribute("rpc.connect_rpc.error_code", code.as_str());
        }
        if is_error(call, end, code) {
            let kind = end.http_status.map(|status| Cow::from(status.to_string()));
            span.set_attribute("error.type", kind.unwrap_or(code.as_str().into()));
            // The text for callers, without what only the log has.
            let text = end.error.map_or("", |error| error.message());
            span.set_status(Status::error(text.to_owned()));
        }
    }
}

/// Returns whether the span of a call has failed. On a server, the codes that blame the caller are
/// no failures.
fn is_error(call: &CallStart, end: &CallEnd<'_>, code: Code) -> bool {
    match (call.side, end.http_status) {
        (Side::Client, _) => true,
        (Side::Server, Some(status)) => status >= 500,
        (Side::Server, None) => code.is_server_error(),
    }
}

fn describe(span: &Span, method: Option<&'static MethodDescriptor>) {
    span.set_attribute("rpc.system", "connect_rpc");
    if let Some(method) = method {
        span.set_attribute("rpc.service", method.service);
        let full = method.full_name();
        let name = full.rsplit_once('/').map_or(full, |(_, name)| name);
        span.set_attribute("rpc.method", name);
    }
}

/// Returns the parent that a trace describes; without one, that of a root.
fn remote(trace: Option<&TraceContext>) -> OtelContext {
    match trace {
        Some(trace) => OtelContext::new().with_remote_span_context(span_context(trace)),
        None => OtelContext::new(),
    }
}

fn trace_id(trace: &TraceContext) -> TraceId {
    TraceId::from_bytes(trace.trace_id().to_be_bytes())
}

fn span_context(trace: &TraceContext) -> SpanContext {
    let state = trace.state().and_then(|state| state.parse().ok());
    SpanContext::new(
        trace_id(trace),
        SpanId::from_bytes(trace.parent_id().to_be_bytes()),
        TraceFlags::new(trace.flags()),
        true,
        state.unwrap_or(TraceState::NONE),
    )
}

/// Splits the printable target of a client, such as `http://127.0.0.1:9002`, into the address and
/// the port.
fn address(target: &str) -> (&str, Option<u16>) {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    let authority = rest.split_once('/').map_or(rest, |(host, _)| host);
    if target.contains(',') || !target.contains("://") {
        return (target, None);
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            (host.trim_matches(['[', ']']), port.parse().ok())
        }
        _ => (authority.trim_matches(['[', ']']), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        for (target, expected) in [
            ("http://127.0.0.1:9002", ("127.0.0.1", Some(9002))),
            ("http://[::1]:9002/api", ("::1", Some(9002))),
            ("https://shop.test", ("shop.test", None)),
            ("unix:/run/a.sock", ("unix:/run/a.sock", None)),
            ("local", ("local", None)),
            ("http://a:1, http://b:2", ("http://a:1, http://b:2", None)),
        ] {
            assert_eq!(address(target), expected);
        }
    }
}
