//! The line that a call writes while the flag `log_rpc` is on.

use std::fmt;

use bytes::Bytes;

use super::{CallEnd, CallStart, Side};
use crate::context::Source;
use crate::descriptor::MethodDescriptor;
use crate::error::Code;
use crate::flags::{Flags, LOG_RPC};
use crate::method::RedactedArguments;
use crate::registry;

/// What a line needs beyond what every observer is told. A call has one while the flag is on.
#[derive(Clone, Default)]
pub(crate) struct CallTrace {
    show: Option<&'static dyn RedactedArguments>,
    /// Shared with the request, so nothing is copied.
    message: Option<Bytes>,
}

impl CallTrace {
    /// `None` while the flag is off, for the price of one atomic read. `message` is asked for otherwise.
    pub(crate) fn of(
        flags: Option<&Flags>,
        show: Option<&'static dyn RedactedArguments>,
        message: impl FnOnce() -> Option<Bytes>,
    ) -> Option<Box<Self>> {
        // Boxed: off, it takes a word in the future of a call.
        flags.is_some_and(|flags| flags.get(&LOG_RPC)).then(|| {
            let message = message();
            Box::new(Self { show, message })
        })
    }

    fn arguments(&self) -> String {
        match (self.show, &self.message) {
            (Some(show), Some(message)) => show.redacted(message),
            // What every service answers has no arguments.
            (None, Some(message)) if matches!(&**message, b"{}" | b"") => String::new(),
            _ => "…".to_owned(),
        }
    }
}

/// Never the message.
impl fmt::Debug for CallTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallTrace")
    }
}

/// Writes the line of a call that has one.
pub(super) fn write(call: &CallStart, end: &CallEnd<'_>) {
    call.within(|| write_within(call, end));
}

fn write_within(call: &CallStart, end: &CallEnd<'_>) {
    if let (Some(line), Some(method)) = (&call.trace, call.method) {
        tracing::info!(
            // Not `rpc`: who asks for these lines wants them where all logs are, see `logs::layer`.
            target: "rpc.line",
            side = match call.side { Side::Server => "server", Side::Client => "client" },
            "RPC {} {}->{}:{}({}) {} {:.3?}",
            call.context.request_id(),
            call.context.source().map_or("-", Source::server),
            endpoint(method),
            method.name,
            line.arguments(),
            end.code().map_or("ok", Code::as_str),
            end.duration,
        );
    }
}

/// A method does not know the endpoint of its service; one that is in no registry is called by its full name.
fn endpoint(method: &MethodDescriptor) -> &'static str {
    let service = registry::services().find(|service| service.full_name == method.service);
    service.map_or(method.service, |service| service.endpoint)
}
