//! A request at the point where it is sent: one message, which may go out more than once.

use bytes::Bytes;

use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::error::{Code, Error};
use crate::metadata::Metadata;
use crate::middleware::{Body, Guards, Kind, Request};

/// What goes out in an attempt. Attempts borrow it; those that cannot make a copy, in which the message is shared.
#[derive(Debug, Clone)]
pub(super) struct OutboundRequest {
    pub(super) method: &'static MethodDescriptor,
    pub(super) context: Context,
    pub(super) metadata: Metadata,
    pub(super) message: Bytes,
}

impl OutboundRequest {
    /// Takes a request apart. What its layers hold comes along, to be held until the answer is there.
    ///
    /// # Errors
    ///
    /// `unimplemented` for a stream.
    pub(super) fn from_request(request: Request) -> Result<(Self, Guards), Error> {
        let method = request.method();
        let (context, metadata, body) = request.into_parts();
        match body.into_parts() {
            (Kind::Message(message), guards) => Ok((
                Self {
                    method,
                    context,
                    metadata,
                    message,
                },
                guards,
            )),
            (Kind::Stream(_), _) => Err(Error::unlocated(
                Code::Unimplemented,
                "streams cannot be sent in this version",
            )),
        }
    }

    /// The request as layers see it.
    pub(super) fn to_request(&self) -> Request {
        Request::new(
            self.method,
            self.context.clone(),
            self.metadata.clone(),
            Body::message(self.message.clone()),
        )
    }
}
