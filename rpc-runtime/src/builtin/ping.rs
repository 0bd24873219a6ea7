//! `Ping`: checks that a service is running, and returns its version, instance and uptime.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::serde_duration;
use crate::descriptor::{Idempotency, MethodDescriptor, ServiceDescriptor};
use crate::error::{Error, Result};
use crate::method::{ReplyCodec, message_reply};

/// Names of the method: in Rust, on the wire.
const NAMES: (&str, &str) = ("ping", "Ping");

/// Response of `ping`. At an edge listener it has the name of the service only; the other fields
/// are then empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pong {
    /// Full name of the service, such as `fibpro.v1.LogSink`.
    pub service: String,
    /// Version of the crate that declares the service.
    #[serde(default)]
    pub version: String,
    /// Instance that responded.
    #[serde(default)]
    pub instance: String,
    /// Time since the start of the server; in JSON in seconds, such as `"1.500s"`.
    #[serde(default, with = "serde_duration")]
    pub uptime: Duration,
}

/// The part of a [`Pong`] that an untrusted caller gets.
#[derive(Serialize)]
pub(crate) struct PublicPong {
    pub(crate) service: &'static str,
}

/// Decoder of a [`Pong`].
pub(crate) static PONG: ReplyCodec<Pong, Error> = message_reply::<Result<Pong>>();

/// Returns the descriptor of a service's `Ping`; used by the expansion.
#[doc(hidden)]
#[must_use]
pub const fn ping_descriptor(service: &'static str, path: &'static str) -> MethodDescriptor {
    let mut ping = MethodDescriptor::new(service, NAMES.0, NAMES.1, path)
        .docs("Returns the version, instance and uptime of the service.")
        .returns("Result<Pong>");
    ping.idempotency = Idempotency::NoSideEffects;
    ping
}

/// Returns the `Ping` of a service; `None` with `ping = false`.
pub(crate) fn ping_method(
    service: &'static ServiceDescriptor,
) -> Option<&'static MethodDescriptor> {
    // The trait may have its own method of this name, which replaces this one.
    service
        .methods
        .iter()
        .rev()
        .find(|method| (method.name, method.wire_name) == NAMES && method.returns == "Result<Pong>")
}
