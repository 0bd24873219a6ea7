//! The messages of a response stream, produced in the context of their call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use bytes::Bytes;
use futures_core::Stream as _;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tracing::Span;

use super::request_stream::stopping;
use super::trust::ErrorScope;
use crate::context::Context;
use crate::descriptor::MethodDescriptor;
use crate::error::Error;
use crate::metadata::Metadata;
use crate::observe::{Observation, Rejection};
use crate::server::inner::ServerInner;
use crate::server::memory::OwnedMemory;
use crate::server::panic;
use crate::streaming::{MessageSource, StreamActivity, StreamTimers, Streaming};

/// A response stream of a call that goes on until the stream ends.
pub(crate) struct ResponseStream {
    /// Polled and dropped in the context of the call. `None` after the end.
    messages: Option<Streaming<Bytes>>,
    call: StreamedCall,
    timers: StreamTimers,
    /// Completes when a stopping server ends its streams.
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Dropped before its end, it observes that the call was canceled.
    observation: Option<Observation>,
    sent: usize,
    trailers: Metadata,
}

/// The call of a response stream.
pub(crate) struct StreamedCall {
    pub(crate) inner: Arc<ServerInner>,
    pub(crate) method: &'static MethodDescriptor,
    pub(crate) context: Context,
    pub(crate) span: Span,
    pub(crate) errors: ErrorScope,
    /// `None` for a caller in this process.
    pub(crate) memory: Option<OwnedMemory>,
    pub(crate) activity: StreamActivity,
}

impl ResponseStream {
    /// Creates the stream of a call. `trailers` are those that are known before its end.
    pub(crate) fn new(
        messages: Streaming<Bytes>,
        call: StreamedCall,
        trailers: Metadata,
        observation: Observation,
    ) -> Self {
        let lifecycle = call.inner.lifecycle();
        let idle = call.inner.limits().stream_idle_timeout;
        Self {
            messages: Some(messages),
            timers: StreamTimers::new(call.context.deadline(), call.activity.clone(), idle),
            stopped: Box::pin(lifecycle.streams_ended().clone().cancelled_owned()),
            call,
            observation: Some(observation),
            sent: 0,
            trailers,
        }
    }

    fn poll_handler(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let Some(messages) = &mut self.messages else {
            return Poll::Ready(None);
        };
        let StreamedCall { context, span, .. } = &self.call;
        let poll = || context.enter(|| Pin::new(messages).poll_next(cx));
        let polled = span.in_scope(|| panic::catch(poll));
        polled.unwrap_or_else(|panicked| Poll::Ready(Some(Err(panicked))))
    }

    /// Returns the error of a stream that does not go on, though its handler has not ended it.
    fn poll_end(&mut self, cx: &mut task::Context<'_>) -> Poll<Error> {
        if self.stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(stopping());
        }
        self.timers.poll_idle(cx)
    }

    /// Counts a message until it is sent.
    fn count(&mut self, message: Bytes) -> Result<Bytes, Error> {
        self.call.activity.touch();
        self.sent = self.sent.saturating_add(message.len());
        let Some(memory) = &self.call.memory else {
            return Ok(message);
        };
        memory.as_call().count(message).map_err(|refused| {
            if let Some(observation) = &mut self.observation {
                observation.reject(Some(Rejection::Overload));
            }
            refused.of_response()
        })
    }

    /// Ends the call.
    fn end(&mut self, error: Option<Error>) -> Option<Result<Bytes, Error>> {
        self.drop_handler();
        let (late, trailers) = self.call.context.take_response();
        // The headers have been sent.
        self.trailers.extend(late);
        self.trailers.extend(trailers);
        let StreamedCall {
            inner,
            method,
            context,
            errors,
            ..
        } = &self.call;
        let observation = self.observation.take()?;
        let Some(mut error) = error else {
            observation.end_with(None, self.sent);
            return None;
        };
        inner.remap(&mut error, *errors);
        observation.end_with(Some(&error), self.sent);
        inner.sanitize_for_wire(&mut error, Some(method), context.id().copied(), *errors);
        error
            .metadata_mut()
            .extend(std::mem::take(&mut self.trailers));
        Some(Err(error))
    }

    fn drop_handler(&mut self) {
        let Some(messages) = self.messages.take() else {
            return;
        };
        let StreamedCall { context, span, .. } = &self.call;
        let dropped = span.in_scope(|| panic::catch(|| context.enter(|| drop(messages))));
        if let Err(error) = dropped {
            tracing::error!(target: "rpc", request_id = context.request_id(), %error, "a stream panicked while it was dropped");
        }
    }
}

impl MessageSource<Bytes, Error> for ResponseStream {
    fn poll_message(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let this = &mut *self;
        if let Poll::Ready(late) = this.timers.poll_deadline(cx) {
            return Poll::Ready(this.end(Some(late)));
        }
        // A handler that always has a message never gets to `poll_end`.
        if this.call.inner.lifecycle().streams_ended().is_cancelled() {
            return Poll::Ready(this.end(Some(stopping())));
        }
        match this.poll_handler(cx) {
            Poll::Ready(Some(Ok(message))) => match this.count(message) {
                Ok(message) => Poll::Ready(Some(Ok(message))),
                Err(refused) => Poll::Ready(this.end(Some(refused))),
            },
            Poll::Ready(Some(Err(error))) => Poll::Ready(this.end(Some(error))),
            Poll::Ready(None) => Poll::Ready(this.end(None)),
            Poll::Pending => this.poll_end(cx).map(|error| this.end(Some(error))),
        }
    }

    fn take_trailers(mut self: Pin<&mut Self>) -> Metadata {
        std::mem::take(&mut self.trailers)
    }
}

impl Drop for ResponseStream {
    fn drop(&mut self) {
        self.drop_handler();
    }
}
