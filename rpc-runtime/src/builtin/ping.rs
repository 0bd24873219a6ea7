//! `Ping`: is it there, what is it, since when.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::serde_duration;
use crate::context::Source;
use crate::descriptor::{Idempotency, MethodDescriptor, ServiceDescriptor};
use crate::error::{Code, Error, Result};
use crate::method::{ReplyCodec, message_reply};
use crate::middleware::{Body, Response};
use crate::server::Route;

/// The name of the method, in Rust and on the wire.
const NAMES: (&str, &str) = ("ping", "Ping");

/// The answer to a `ping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pong {
    /// Full name of the service, such as `fibpro.v1.LogSink`.
    pub service: String,
    /// Version of the crate that declares the service.
    pub version: String,
    /// Which instance answered.
    pub instance: String,
    /// How long it has been up; on the wire in seconds, such as `"1.500s"`.
    #[serde(with = "serde_duration")]
    pub uptime: Duration,
}

/// How a [`Pong`] is read.
pub(crate) static PONG: ReplyCodec<Pong, Error> = message_reply::<Result<Pong>>();

/// The descriptor of a service's `Ping`; used by the expansion.
#[doc(hidden)]
#[must_use]
pub const fn ping_descriptor(service: &'static str, path: &'static str) -> MethodDescriptor {
    let mut ping = MethodDescriptor::new(service, NAMES.0, NAMES.1, path)
        .docs("Answers at once: whether the service is there, its version, instance and uptime.")
        .returns("Result<Pong>");
    ping.idempotency = Idempotency::NoSideEffects;
    ping
}

/// The `Ping` of a service, unless its attribute says `ping = false`.
pub(crate) fn ping_method(
    service: &'static ServiceDescriptor,
) -> Option<&'static MethodDescriptor> {
    // A method of the trait may have taken the name; then this one is not there.
    service
        .methods
        .iter()
        .rev()
        .find(|method| (method.name, method.wire_name) == NAMES && method.returns == "Result<Pong>")
}

/// What answers the `Ping` of a service.
pub(crate) fn ping_route(
    service: &'static ServiceDescriptor,
    source: &Arc<Source>,
) -> Option<Route> {
    let method = ping_method(service)?;
    let (start, source) = (Instant::now(), Arc::clone(source));
    let route = Route::new(method, move |_| {
        let pong = Pong {
            service: service.full_name.to_owned(),
            version: service.version.to_owned(),
            instance: source.instance().to_owned(),
            uptime: start.elapsed(),
        };
        let body = serde_json::to_vec(&pong).map(Body::message);
        let response = match body {
            Ok(body) => Response::new(body),
            Err(error) => Error::without_location(Code::Internal, error.to_string()).into(),
        };
        Box::pin(std::future::ready(response))
    });
    Some(route.into_builtin())
}
