//! Requests whose head is written when they are sent.

use ::http::Uri;
use ::http::header::HeaderMap;
use bytes::Bytes;

use super::request_body::{Envelopes, RequestBody};
use super::target::TransportTarget;
use crate::client::outbound::{OutboundMessages, OutboundRequest};
use crate::context::Context;
use crate::error::Result;
use crate::observe::LogThrottle;
use crate::protocol::connect::{self, OutgoingMessage};
use crate::protocol::{self, identity};

/// The calls of this process that were sent without their user.
static UNSENT_USERS: LogThrottle = LogThrottle::new();

/// A request of which everything is decided that may fail, and whose head is not written: the time
/// that is left and the signature, which is valid for a short time, are those of the moment when it
/// is sent.
pub(super) struct UnwrittenRequest<'r> {
    target: &'r TransportTarget,
    pub(super) request: &'r OutboundRequest,
    message: OutgoingMessage,
    pub(super) uri: Uri,
    /// Whether the server gets the context of the call without a signature.
    is_known: bool,
}

impl<'r> UnwrittenRequest<'r> {
    /// `is_known` tells whether the server gets the context of the call without a signature.
    pub(super) fn new(
        target: &'r TransportTarget,
        is_known: bool,
        request: &'r OutboundRequest,
    ) -> Result<Self> {
        let prefix = target.prefix_len();
        let (method, options) = (request.method, &request.options);
        let message = match &request.messages {
            OutboundMessages::One(message) if method.is_streaming() => {
                OutgoingMessage::stream(Some(message), options)?
            }
            OutboundMessages::One(message) => {
                OutgoingMessage::new(method, prefix, message, options)
            }
            OutboundMessages::Stream(_) => OutgoingMessage::stream(None, options)?,
        };
        Ok(Self {
            uri: target.uri(request.method.path, message.query())?,
            is_known,
            target,
            request,
            message,
        })
    }

    pub(super) fn write(self) -> ::http::Request<RequestBody> {
        let (messages, options) = (&self.request.messages, self.request.options);
        let request = self.write_first();
        match messages {
            OutboundMessages::One(_) => request.map(RequestBody::from),
            OutboundMessages::Stream(stream) => request.map(|_| {
                let envelopes = Envelopes::new(stream.read(), options.compression);
                RequestBody::Stream(envelopes)
            }),
        }
    }

    /// Writes the request with the part of its body that is known before it is sent.
    pub(super) fn write_first(self) -> ::http::Request<Bytes> {
        let request = self.request;
        let (context, metadata) = (&request.context, &request.metadata);
        let keys = context.identity();
        let is_known = keys.is_some() || self.is_known;
        let restriction = request.options.disclosure.restriction(is_known);
        let mut http =
            connect::write_request(self.uri, context, metadata, self.message, restriction);
        if restriction.is_none() {
            let is_safe = is_known || self.target.is_https();
            write_user(self.target, context, is_safe, http.headers_mut());
        }
        if let Some(keys) = keys.filter(|_| restriction.is_none()) {
            // Each attempt needs its own signature; the server would reject a second use as a
            // replay.
            identity::sign(keys, request.method, self.target.host(), &mut http);
        }
        http
    }
}

/// Writes the user of a call, unless anybody on the way could read it, or the server could not know
/// who sent it.
fn write_user(target: &TransportTarget, context: &Context, is_safe: bool, headers: &mut HeaderMap) {
    if is_safe {
        protocol::context::write_principal(context, headers);
    } else if context.principal().is_some()
        && let Some(count) = UNSENT_USERS.record()
    {
        tracing::warn!(
            target: "rpc",
            request_id = context.request_id(),
            target = target.text(),
            count,
            "sent a call without its user, because it is neither signed nor encrypted: use identity keys or `https`; \
             `count` so far"
        );
    }
}
