//! A request that is ready to be sent, possibly more than once.

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{self, Poll};

use bytes::Bytes;
use futures_core::Stream as _;

use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::error::Error;
use crate::metadata::Metadata;
use crate::middleware::{AttemptLog, Body, Guards, Request};
use crate::protocol::SendOptions;
use crate::streaming::{BodyKind, MessageSource, Streaming};
use crate::sync::MutexExt as _;

/// The request of an attempt. Attempts borrow it. A clone shares the messages.
#[derive(Debug, Clone)]
pub(super) struct OutboundRequest {
    pub(super) method: &'static MethodDescriptor,
    pub(super) context: Context,
    pub(super) metadata: Metadata,
    pub(super) messages: OutboundMessages,
    pub(super) options: SendOptions,
    pub(super) attempts: Option<Arc<AttemptLog>>,
}

/// The messages of a request.
#[derive(Debug, Clone)]
pub(super) enum OutboundMessages {
    One(Bytes),
    Stream(Arc<RequestStream>),
}

impl OutboundRequest {
    /// Splits a request into the part that is sent and the guards of its layers, which must be
    /// kept until the response has arrived.
    pub(super) fn from_request(request: Request) -> (Self, Guards) {
        let method = request.method();
        let options = request.send_options();
        let attempts = request.attempts().cloned();
        let (context, metadata, body) = request.into_parts();
        let (content, guards) = body.into_parts();
        let messages = match content {
            BodyKind::Message(message) => OutboundMessages::One(message),
            BodyKind::Stream(messages) => {
                OutboundMessages::Stream(Arc::new(RequestStream::new(messages)))
            }
        };
        let request = Self {
            method,
            context,
            metadata,
            messages,
            options,
            attempts,
        };
        (request, guards)
    }

    /// Returns the request in the form that layers take.
    pub(super) fn to_request(&self) -> Request {
        let body = match &self.messages {
            OutboundMessages::One(message) => Body::message(message.clone()),
            OutboundMessages::Stream(stream) => Body::stream(stream.read()),
        };
        let mut request = Request::new(
            self.method,
            self.context.clone(),
            self.metadata.clone(),
            body,
        );
        request.set_send_options(self.options);
        request
    }

    /// Returns the size of the message in bytes; 0 for a stream.
    pub(super) fn message_len(&self) -> usize {
        match &self.messages {
            OutboundMessages::One(message) => message.len(),
            OutboundMessages::Stream(_) => 0,
        }
    }

    /// Returns whether the request can be sent again: a stream is read once.
    pub(super) fn can_repeat(&self) -> bool {
        match &self.messages {
            OutboundMessages::One(_) => true,
            OutboundMessages::Stream(stream) => stream.messages.lock_unpoisoned().is_some(),
        }
    }
}

/// The stream of a request, which attempts share until one of them reads it.
#[derive(Debug)]
pub(super) struct RequestStream {
    /// `None` once an attempt reads it.
    messages: Mutex<Option<Streaming<Bytes>>>,
    failure: OnceLock<Error>,
}

impl RequestStream {
    fn new(messages: Streaming<Bytes>) -> Self {
        Self {
            messages: Mutex::new(Some(messages)),
            failure: OnceLock::new(),
        }
    }

    /// Returns the stream for one attempt. It is read when it is first polled, so an attempt that
    /// is not sent leaves it to the next one.
    pub(super) fn read(self: &Arc<Self>) -> Streaming<Bytes> {
        Streaming::from_source(StreamRead {
            stream: Arc::clone(self),
            messages: None,
        })
    }

    /// Returns the error with which the application has ended the stream.
    pub(super) fn failure(&self) -> Option<&Error> {
        self.failure.get()
    }
}

/// A request stream that an attempt reads.
struct StreamRead {
    stream: Arc<RequestStream>,
    messages: Option<Streaming<Bytes>>,
}

impl MessageSource<Bytes, Error> for StreamRead {
    fn poll_message(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let Self { stream, messages } = &mut *self;
        let messages = messages.get_or_insert_with(|| {
            // Another attempt has read it only if this one should not have been made.
            stream.messages.lock_unpoisoned().take().unwrap_or_default()
        });
        let polled = Pin::new(messages).poll_next(cx);
        if let Poll::Ready(Some(Err(error))) = &polled {
            // The first error ends the stream.
            let _ = stream.failure.set(error.clone());
        }
        polled
    }
}
