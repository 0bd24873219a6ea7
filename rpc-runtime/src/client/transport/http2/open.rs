//! One request and its response, whose bodies may be streams.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::http::Request;
use ::http::header::{CONTENT_LENGTH, HeaderValue};
use ::http::response::Parts;
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http_body::{Body, Frame};
use tokio::task::JoinHandle;

use super::connection::Lease;
use super::exchange::{ExchangeError, ExchangeOptions, SHUTTING_DOWN, failure, ready_connection};
use super::origin::Origin;
use crate::client::transport::request_body::{Envelopes, RequestBody};

/// Sends a request, and waits for the head of its response. `write` returns the request, and is
/// called when there is a stream for it.
///
/// # Cancellation
///
/// Dropping the future or the body resets the stream.
pub(super) async fn open(
    origin: &Arc<Origin>,
    write: impl FnOnce() -> Request<RequestBody>,
    options: ExchangeOptions,
) -> Result<(Parts, OpenBody), ExchangeError> {
    let (mut lease, mut requests) = ready_connection(origin, options).await?;
    let (mut head, body) = write().into_parts();
    let message = match &body {
        RequestBody::Full(message) => Some(message.clone().unwrap_or_default()),
        RequestBody::Stream(_) => None,
    };
    if let Some(message) = &message {
        let length = HeaderValue::from(message.len());
        head.headers.insert(CONTENT_LENGTH, length);
    }
    let request = Request::from_parts(head, ());
    let ends = message.as_ref().is_some_and(Bytes::is_empty);
    let Ok((response, mut stream)) = requests.send_request(request, ends) else {
        // There is no stream, so nothing was sent.
        lease.leave();
        return Err(ExchangeError::NotBegun(SHUTTING_DOWN));
    };
    let mut writing = None;
    match (message, body) {
        (_, RequestBody::Stream(envelopes)) => {
            // A task, because the response may be read by another one or not at all meanwhile.
            let task = tokio::spawn(send_messages(stream, envelopes));
            writing = Some(AbortOnDrop(task));
        }
        (Some(message), _) if !message.is_empty() => {
            // If the stream has already ended, the response says why.
            let _ = stream.send_data(message, true);
        }
        _ => {}
    }
    let (parts, stream) = match response.await {
        Ok(response) => response.into_parts(),
        Err(error) => return Err(failure(&lease, error)),
    };
    lease.responded();
    let body = OpenBody {
        stream,
        _writing: writing,
        lease,
    };
    Ok((parts, body))
}

/// Sends the messages of a request stream as far as the server takes them.
async fn send_messages(mut stream: SendStream<Bytes>, mut envelopes: Envelopes) {
    loop {
        let envelope = poll_fn(|cx| {
            // The server may end the call before it has read the request.
            if stream.poll_reset(cx).is_ready() {
                return Poll::Ready(None);
            }
            envelopes.poll_envelope(cx).map(Some)
        });
        let Some(envelope) = envelope.await else {
            return;
        };
        match envelope {
            Some(Ok(envelope)) => {
                if !send(&mut stream, envelope).await {
                    return;
                }
            }
            // The call has the error of the application.
            Some(Err(_)) => return stream.send_reset(Reason::CANCEL),
            None => {
                // The response says why, if the stream has already ended.
                let _ = stream.send_data(Bytes::new(), true);
                return;
            }
        }
    }
}

/// Sends data as the window of the server opens. Returns `false` if the stream has ended.
async fn send(stream: &mut SendStream<Bytes>, mut data: Bytes) -> bool {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let Some(Ok(capacity)) = poll_fn(|cx| stream.poll_capacity(cx)).await else {
            return false;
        };
        let part = data.split_to(capacity.min(data.len()));
        if !part.is_empty() && stream.send_data(part, false).is_err() {
            return false;
        }
    }
    true
}

#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The body of a response that is read as a stream. Its window opens as it is read.
#[derive(Debug)]
pub(in crate::client::transport) struct OpenBody {
    stream: RecvStream,
    _writing: Option<AbortOnDrop>,
    /// Dropped after the stream, which is free then.
    lease: Lease,
}

impl Body for OpenBody {
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let data = match ready!(self.stream.poll_data(cx)) {
            Some(Ok(data)) => data,
            Some(Err(error)) => {
                let failure = self.lease.health().failure().map(Into::into);
                return Poll::Ready(Some(Err(failure.unwrap_or_else(|| error.into()))));
            }
            None => return Poll::Ready(None),
        };
        self.lease.health().received();
        let released = self.stream.flow_control().release_capacity(data.len());
        let frame = released.map(|()| Frame::data(data));
        Poll::Ready(Some(frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}
