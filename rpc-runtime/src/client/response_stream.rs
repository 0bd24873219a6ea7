//! The response stream of a call: ends it at its deadline, when it is idle and when it is canceled,
//! and observes its end.

use std::pin::Pin;
use std::task::{self, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream as _;

use super::Client;
use super::ended::end_call;
use super::handle::CallHandle;
use crate::context::{Context, RequestId};
use crate::descriptor::MethodDescriptor;
use crate::error::Error;
use crate::metadata::Metadata;
use crate::middleware::{Body, BoxFuture};
use crate::observe::{AttemptObservation, Observation};
use crate::streaming::{MessageSource, StreamActivity, StreamTimers, Streaming};

/// The settings of a call with streams.
pub(super) struct StreamStart {
    activity: StreamActivity,
    idle_timeout: Duration,
    handle: Option<CallHandle>,
}

impl StreamStart {
    pub(super) fn new(client: &Client, handle: Option<&CallHandle>) -> Self {
        Self {
            activity: StreamActivity::new(),
            idle_timeout: client.0.stream_idle_timeout,
            handle: handle.cloned(),
        }
    }

    /// Records the messages of a request stream, which are made in the context of the caller.
    pub(super) fn observe_request(&self, body: &mut Body, callers: &Context) {
        if let Some(messages) = body.as_stream_mut() {
            *messages = Streaming::from_source(RequestMessages {
                messages: std::mem::take(messages),
                callers: callers.clone(),
                activity: self.activity.clone(),
            });
        }
    }

    /// Ends a response stream at the deadline of `context`, when it is idle and when it is
    /// canceled, and observes its end.
    pub(super) fn observe_response(
        self,
        messages: &mut Streaming<Bytes>,
        call: StreamedCall,
        context: &Context,
        observation: Observation,
    ) {
        let activity = self.activity;
        let timers = StreamTimers::new(context.deadline(), activity.clone(), self.idle_timeout);
        *messages = Streaming::from_source(ResponseStream {
            messages: std::mem::take(messages),
            call,
            timers,
            activity,
            canceled: self.handle.as_ref().map(CallHandle::canceled),
            observation: Some(observation),
            received: 0,
        });
    }
}

/// The request stream of a call, which a task of the transport reads.
struct RequestMessages {
    messages: Streaming<Bytes>,
    callers: Context,
    activity: StreamActivity,
}

impl MessageSource<Bytes, Error> for RequestMessages {
    fn poll_message(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let Self {
            messages,
            callers,
            activity,
        } = &mut *self;
        let polled = callers.enter(|| Pin::new(messages).poll_next(cx));
        if let Poll::Ready(Some(Ok(_))) = &polled {
            activity.touch();
        }
        polled
    }
}

impl Drop for RequestMessages {
    fn drop(&mut self) {
        self.callers
            .enter(|| drop(std::mem::take(&mut self.messages)));
    }
}

/// The response stream of a call.
struct ResponseStream {
    messages: Streaming<Bytes>,
    call: StreamedCall,
    timers: StreamTimers,
    activity: StreamActivity,
    /// Completes when the handle of the call cancels it.
    canceled: Option<BoxFuture<Error>>,
    /// Ended with the stream. Dropped before, it observes that the call was canceled.
    observation: Option<Observation>,
    received: usize,
}

/// The call of a response stream.
pub(super) struct StreamedCall {
    pub(super) request_id: RequestId,
    pub(super) method: &'static MethodDescriptor,
    /// The context that the call was made in.
    pub(super) callers: Context,
}

impl ResponseStream {
    /// Returns the error of a stream that ends whether there is a message or not.
    fn poll_end(&mut self, cx: &mut task::Context<'_>) -> Poll<Error> {
        if let Poll::Ready(error) = self.timers.poll_deadline(cx) {
            return Poll::Ready(error);
        }
        match &mut self.canceled {
            Some(canceled) => canceled.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    fn fail(&mut self, mut error: Error) -> Error {
        let StreamedCall {
            request_id,
            method,
            callers,
        } = &self.call;
        end_call(&mut error, *request_id, method, callers);
        if let Some(observation) = self.observation.take() {
            observation.end_with(Some(&error), self.received);
        }
        error
    }
}

impl MessageSource<Bytes, Error> for ResponseStream {
    fn poll_message(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let this = &mut *self;
        if let Poll::Ready(error) = this.poll_end(cx) {
            return Poll::Ready(Some(Err(this.fail(error))));
        }
        match Pin::new(&mut this.messages).poll_next(cx) {
            Poll::Ready(Some(Ok(message))) => {
                this.activity.touch();
                this.received = this.received.saturating_add(message.len());
                Poll::Ready(Some(Ok(message)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(this.fail(error)))),
            Poll::Ready(None) => {
                if let Some(observation) = this.observation.take() {
                    observation.end_with(None, this.received);
                }
                Poll::Ready(None)
            }
            Poll::Pending => {
                let idle = this.timers.poll_idle(cx);
                idle.map(|error| Some(Err(this.fail(error))))
            }
        }
    }

    fn take_trailers(mut self: Pin<&mut Self>) -> Metadata {
        self.messages.take_trailers()
    }
}

/// The response stream of an attempt, which observes its end.
pub(super) struct AttemptStream {
    pub(super) messages: Streaming<Bytes>,
    pub(super) observation: Option<AttemptObservation>,
    pub(super) received: usize,
}

impl MessageSource<Bytes, Error> for AttemptStream {
    fn poll_message(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.messages).poll_next(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(message))) => {
                this.received = this.received.saturating_add(message.len());
            }
            Poll::Ready(end) => {
                if let Some(observation) = this.observation.take() {
                    let error = end.as_ref().and_then(|end| end.as_ref().err());
                    observation.end_stream(error, this.received);
                }
            }
        }
        polled
    }

    fn take_trailers(mut self: Pin<&mut Self>) -> Metadata {
        self.messages.take_trailers()
    }
}
