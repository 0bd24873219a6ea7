//! A unary request that is ready to be sent, possibly more than once.

use std::sync::Arc;

use bytes::Bytes;

use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::error::{Code, Error};
use crate::metadata::Metadata;
use crate::middleware::{AttemptLog, Body, BodyKind, Guards, Request};
use crate::protocol::SendOptions;

/// The request of an attempt. Attempts borrow it. A clone shares the message.
#[derive(Debug, Clone)]
pub(super) struct OutboundRequest {
    pub(super) method: &'static MethodDescriptor,
    pub(super) context: Context,
    pub(super) metadata: Metadata,
    pub(super) message: Bytes,
    pub(super) options: SendOptions,
    pub(super) attempts: Option<Arc<AttemptLog>>,
}

impl OutboundRequest {
    /// Splits a request into the part that is sent and the guards of its layers, which must be
    /// kept until the response has arrived.
    ///
    /// # Errors
    ///
    /// `unimplemented` for a stream.
    pub(super) fn from_request(request: Request) -> Result<(Self, Guards), Error> {
        let method = request.method();
        let options = request.send_options();
        let attempts = request.attempts().cloned();
        let (context, metadata, body) = request.into_parts();
        match body.into_parts() {
            (BodyKind::Message(message), guards) => Ok((
                Self {
                    method,
                    context,
                    metadata,
                    message,
                    options,
                    attempts,
                },
                guards,
            )),
            (BodyKind::Stream(_), _) => Err(Error::without_location(
                Code::Unimplemented,
                "request streams are not supported: send a single message",
            )),
        }
    }

    /// Returns the request in the form that layers take.
    pub(super) fn to_request(&self) -> Request {
        let mut request = Request::new(
            self.method,
            self.context.clone(),
            self.metadata.clone(),
            Body::message(self.message.clone()),
        );
        request.set_send_options(self.options);
        request
    }
}
