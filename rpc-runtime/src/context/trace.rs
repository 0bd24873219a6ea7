//! W3C trace context: read, propagated, and started where a program asks for it.

use std::fmt;

/// The flag `sampled`: the caller records the trace.
const SAMPLED: u8 = 1;

/// The flag `random`: the trace ID is random, so that samplers may use its last bytes.
const RANDOM: u8 = 2;

/// The most members of a `tracestate`.
const STATE_MEMBERS: usize = 32;

/// The maximum length of a `tracestate`, in bytes.
const STATE_BYTES: usize = 512;

/// The `traceparent` and `tracestate` of a request. Source: W3C Trace Context, version 00.
///
/// A server passes the trace of a call on to the next services. A call without a trace stays
/// without one, unless the program starts one by
/// [`Context::with_trace`](crate::Context::with_trace) or traces by OpenTelemetry (feature `otel`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
    state: Option<Box<str>>,
}

impl TraceContext {
    /// Returns a trace that starts here, with random IDs. `sampled` states whether it is recorded:
    /// the services that it passes follow that.
    #[must_use]
    pub fn start(sampled: bool) -> Self {
        Self {
            trace_id: fastrand::u128(1..),
            parent_id: fastrand::u64(1..),
            flags: RANDOM | u8::from(sampled),
            state: None,
        }
    }

    /// Parses the two headers. Returns `None` if `traceparent` is invalid, as the specification
    /// requires. An invalid or too long `tracestate` is left out, and flags that version 00 does
    /// not define are cleared.
    #[must_use]
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let (version, trace_id, parent_id, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, digits: usize| {
            text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        // Later versions may append parts, version 00 may not, and ff is invalid.
        if !hex(version, 2) || version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        if !hex(trace_id, 32) || !hex(parent_id, 16) || !hex(flags, 2) {
            return None;
        }
        let trace = Self {
            trace_id: u128::from_str_radix(trace_id, 16).ok()?,
            parent_id: u64::from_str_radix(parent_id, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()? & (SAMPLED | RANDOM),
            state: tracestate.filter(|state| is_state(state)).map(Into::into),
        };
        (trace.trace_id != 0 && trace.parent_id != 0).then_some(trace)
    }

    /// Returns the trace ID.
    #[must_use]
    pub fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// Returns the span ID of the caller.
    #[must_use]
    pub fn parent_id(&self) -> u64 {
        self.parent_id
    }

    /// Returns whether the caller records the trace.
    #[must_use]
    pub fn sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Returns the `tracestate`.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Returns the trace with a span of OpenTelemetry as the parent.
    #[cfg(feature = "otel")]
    pub(crate) fn of_span(
        trace_id: u128,
        parent_id: u64,
        flags: u8,
        state: Option<String>,
    ) -> Self {
        Self {
            trace_id,
            parent_id,
            flags,
            state: state.map(Into::into),
        }
    }

    #[cfg(feature = "otel")]
    pub(crate) fn flags(&self) -> u8 {
        self.flags
    }

    /// Returns the trace of a call that is made in this one: the same trace ID, another span ID.
    pub(super) fn child(&self) -> Self {
        Self {
            parent_id: fastrand::u64(1..),
            ..self.clone()
        }
    }
}

/// Returns whether a `tracestate` may be passed on: visible ASCII in members of `key=value`, within
/// its limits.
fn is_state(state: &str) -> bool {
    let is_member = |member: &str| {
        let member = member.trim_matches([' ', '\t']);
        member.is_empty()
            || member
                .split_once('=')
                .is_some_and(|(key, _)| !key.is_empty())
    };
    state.len() <= STATE_BYTES
        && state.split(',').count() <= STATE_MEMBERS
        && state.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~'))
        && state.split(',').all(is_member)
}

/// Writes the `traceparent` header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace_id, self.parent_id, self.flags
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn starts_a_trace_of_its_own() {
        let (one, other) = (TraceContext::start(true), TraceContext::start(false));
        assert!(one.sampled() && !other.sampled());
        assert_ne!(one.trace_id(), other.trace_id());
        for trace in [one, other] {
            let read = TraceContext::parse(&trace.to_string(), None);
            assert_eq!(read.as_ref(), Some(&trace));
            assert_eq!(trace.child().sampled(), trace.sampled());
        }
    }

    #[test]
    fn clears_flags_that_are_not_defined() {
        for (flags, kept) in [
            ("00", "00"),
            ("01", "01"),
            ("03", "03"),
            ("ff", "03"),
            ("fc", "00"),
        ] {
            let header = format!("{}-{flags}", &PARENT[..52]);
            let trace = TraceContext::parse(&header, None).unwrap();
            assert_eq!(trace.to_string(), format!("{}-{kept}", &PARENT[..52]));
        }
    }

    #[test]
    fn keeps_only_a_valid_state() {
        let many = vec!["a=b"; STATE_MEMBERS + 1].join(",");
        for (state, is_kept) in [
            ("a=b", true),
            ("a=b, c@d=e=f,", true),
            ("", true),
            ("a", false),
            ("=b", false),
            ("a=b\r\nx-rpc-hops: 1", false),
            ("a=\u{e9}", false),
            (&many[4..], true),
            (&many, false),
            (&format!("a={}", "b".repeat(510)), true),
            (&format!("a={}", "b".repeat(511)), false),
        ] {
            let trace = TraceContext::parse(PARENT, Some(state)).unwrap();
            assert_eq!(trace.state(), is_kept.then_some(state), "{state}");
        }
    }

    #[test]
    fn parses_only_valid_headers() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = TraceContext::parse(header, Some("a=b")).unwrap();
        assert_eq!(trace.to_string(), header);
        assert!(trace.sampled());
        assert_eq!(trace.child().trace_id(), trace.trace_id());
        assert_ne!(trace.child().parent_id(), trace.parent_id());
        for bad in [
            "",
            "-",
            "00",
            "00-\u{e9}bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47360-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(TraceContext::parse(bad, None), None, "{bad}");
        }
        assert!(
            TraceContext::parse(
                "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
                None
            )
            .is_some()
        );
    }
}
