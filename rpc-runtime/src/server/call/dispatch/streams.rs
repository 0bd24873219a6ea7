//! Calls whose request is a stream, which the handler reads from the body.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;

use super::HttpResponse;
use super::pending_call::{PendingCall, abort};
use super::stream_messages::write;
use crate::error::{Code, Error};
use crate::middleware::{self, Request};
use crate::protocol::connect::{self, CallRejection, EnvelopeReader, RequestHead};
use crate::protocol::context::IncomingContext;
use crate::server::call::request_stream::{RequestMessages, UnreadRequest};
use crate::server::call::service::Route;
use crate::server::memory::{CallMemory, PeerMemory};
use crate::streaming::{StreamActivity, Streaming};

impl PendingCall<'_> {
    /// Runs a call whose request is a stream, which its handler reads from the body.
    pub(super) async fn run_stream<B>(
        self,
        route: &Arc<Route>,
        incoming: IncomingContext,
        memory: &Arc<PeerMemory>,
        mut body: B,
    ) -> HttpResponse
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let memory = CallMemory::new(memory, self.caller.is_trusted());
        let head = connect::read_request(self.head, route.method());
        let timeout = head.as_ref().ok().and_then(|head| head.timeout);
        let context = self.context(route.method(), incoming.builder, timeout);
        let head = match (head, incoming.rejection) {
            (Ok(head), None) => self.check_stream(head),
            (Ok(_), Some(rejection)) => Err(rejection.into()),
            (Err(refusal), _) => Err(refusal),
        };
        let head = match head {
            Ok(head) => head,
            Err(refusal) => {
                let rest = Some(&mut Pin::new(&mut body));
                return self.refuse(&context, refusal, rest).await;
            }
        };
        let (inner, limit) = (self.inner, self.inner.limits().message_bytes);
        let activity = StreamActivity::new();
        let unread = UnreadRequest::of(self.head);
        let stopped = inner.lifecycle().streams_ended().clone().cancelled_owned();
        let messages = Streaming::from_source(RequestMessages {
            body: Some(body),
            reader: EnvelopeReader::new(limit),
            encoding: head.encoding,
            limit,
            memory: memory.to_owned(),
            activity: activity.clone(),
            stopped: Box::pin(stopped),
            unread: unread.clone(),
            partial: None,
        });
        let mut body = middleware::Body::stream(messages);
        body.hold(activity);
        let metadata = context.metadata().clone();
        let request = Request::new(route.method(), context, metadata, body);
        let call = inner.call(route, request, self.caller.errors(), Some(memory));
        let response = call.await;
        if response.is_aborted() {
            return abort();
        }
        write(self.head, response, memory, &unread)
    }

    /// Checks what must hold before the first message.
    fn check_stream(&self, head: RequestHead) -> Result<RequestHead, CallRejection> {
        if head.timeout == Some(Duration::ZERO) {
            let text = "the caller's timeout is zero, so the call was not run";
            return Err(Error::without_location(Code::DeadlineExceeded, text).into());
        }
        // The signature is that of an empty body: the messages do not exist when it is made.
        self.caller.check_body(&[])?;
        Ok(head)
    }
}
