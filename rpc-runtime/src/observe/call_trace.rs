//! Trace of calls: one log event per call while the flag `log_rpc` is on.

use std::fmt;

use bytes::Bytes;

use super::{CallEnd, CallStart, Side};
use crate::context::Source;
use crate::descriptor::MethodDescriptor;
use crate::error::Code;
use crate::flags::{Flags, LOG_RPC};
use crate::method::RedactedArguments;
use crate::registry;

/// Data for the trace of a call, in addition to that of [`CallStart`].
#[derive(Clone, Default)]
pub(crate) struct CallTrace {
    arguments: Option<&'static dyn RedactedArguments>,
    /// Encoded request message, shared with the request.
    message: Option<Bytes>,
}

impl CallTrace {
    /// Returns the data for the trace, or `None` while the flag `log_rpc` is off, at the cost of
    /// one atomic read. `message` is only called while it is on.
    pub(crate) fn of(
        flags: Option<&Flags>,
        arguments: Option<&'static dyn RedactedArguments>,
        message: impl FnOnce() -> Option<Bytes>,
    ) -> Option<Box<Self>> {
        // Boxed to use only one pointer in the call's future while the flag is off.
        flags.is_some_and(|flags| flags.get(&LOG_RPC)).then(|| {
            let message = message();
            Box::new(Self { arguments, message })
        })
    }

    fn arguments(&self) -> String {
        match (self.arguments, &self.message) {
            (Some(arguments), Some(message)) => arguments.redacted(message),
            // Built-in methods without arguments, such as `Ping`.
            (None, Some(message)) if matches!(&**message, b"{}" | b"") => String::new(),
            _ => "…".to_owned(),
        }
    }
}

/// Omits the message, which may contain secrets.
impl fmt::Debug for CallTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallTrace")
    }
}

/// Logs the trace of a call that has one.
pub(super) fn write(call: &CallStart, end: &CallEnd<'_>) {
    call.within(|| write_within(call, end));
}

fn write_within(call: &CallStart, end: &CallEnd<'_>) {
    if let (Some(trace), Some(method)) = (&call.trace, call.method) {
        tracing::info!(
            // Not `rpc`: the log exporter drops successful calls of that target, see `logs::layer`.
            target: "rpc.line",
            side = match call.side { Side::Server => "server", Side::Client => "client" },
            "RPC {} {}->{}:{}({}) {} {:.3?}",
            call.context.request_id(),
            call.context.source().map_or("-", Source::server),
            endpoint(method),
            method.name,
            trace.arguments(),
            end.code().map_or("ok", Code::as_str),
            end.duration,
        );
    }
}

/// Returns the endpoint of the method's service, from the registry; the service's full name if it
/// is not registered.
fn endpoint(method: &MethodDescriptor) -> &'static str {
    registry::service(method.service).map_or(method.service, |service| service.endpoint)
}
