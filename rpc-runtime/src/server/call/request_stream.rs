//! The messages of a request, read from its body one by one.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{self, Poll, ready};

use bytes::Bytes;
use http::header::EXPECT;
use http::{Version, request};
use http_body::Body;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::discard::discard;
use crate::compression::Encoding;
use crate::error::{Code, Error};
use crate::middleware::BoxFuture;
use crate::protocol::connect::{EnvelopeError, EnvelopeReader};
use crate::server::memory::{Count, OwnedMemory};
use crate::streaming::{MessageSource, StreamActivity};
use crate::sync::MutexExt as _;

/// The maximum number of bytes that are read of a request after its handler has ended.
const DISCARD_BYTES: usize = 1 << 20;

/// The messages of a request stream.
pub(crate) struct RequestMessages<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// `None` after the drop only.
    pub(crate) body: Option<B>,
    pub(crate) reader: EnvelopeReader,
    pub(crate) encoding: Encoding,
    pub(crate) limit: usize,
    pub(crate) memory: OwnedMemory,
    pub(crate) activity: StreamActivity,
    /// Completes when a stopping server ends its streams.
    pub(crate) stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    pub(crate) unread: UnreadRequest,
    /// The count of the data of which no message is complete, if it is not small.
    pub(crate) partial: Option<Count>,
}

/// The rest of a request stream over HTTP/1 that its handler has not read. It must be read before
/// the response ends: otherwise the connection is reset, and a client that is still sending loses
/// the response.
#[derive(Clone, Default)]
pub(crate) struct UnreadRequest(Option<Arc<Mutex<Option<BoxFuture<()>>>>>);

impl UnreadRequest {
    /// Returns the place for the rest of a request. Nothing is kept if the client waits for `100
    /// Continue`, and over HTTP/2, see [`LingeringBody`](super::lingering_body::LingeringBody).
    pub(crate) fn of(head: &request::Parts) -> Self {
        let is_kept = head.version < Version::HTTP_2 && !head.headers.contains_key(EXPECT);
        Self(is_kept.then(Arc::default))
    }

    /// Returns whether nothing is left to read for sure.
    pub(crate) fn is_none(&self) -> bool {
        let rest = self.0.as_ref();
        rest.is_none_or(|rest| rest.lock_unpoisoned().is_none() && Arc::strong_count(rest) == 1)
    }

    /// Polls the reading of what is left.
    pub(crate) fn poll_read(&self, cx: &mut task::Context<'_>) -> Poll<()> {
        let Some(rest) = &self.0 else {
            return Poll::Ready(());
        };
        let mut rest = rest.lock_unpoisoned();
        match &mut *rest {
            Some(reading) => {
                ready!(reading.as_mut().poll(cx));
                *rest = None;
                Poll::Ready(())
            }
            None => Poll::Ready(()),
        }
    }
}

impl<B> Drop for RequestMessages<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    fn drop(&mut self) {
        if let (Some(rest), Some(mut body)) = (&self.unread.0, self.body.take())
            && !body.is_end_stream()
        {
            *rest.lock_unpoisoned() = Some(Box::pin(async move {
                discard(&mut Pin::new(&mut body), DISCARD_BYTES).await;
            }));
        }
    }
}

impl<B> RequestMessages<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    /// Adds data that has arrived, and counts what is in memory without a complete message.
    fn receive(&mut self, data: &[u8]) -> Result<(), Error> {
        self.reader.push(data);
        self.partial = None;
        let mut memory = self.memory.as_call().reserve();
        if !memory.grow_to(self.reader.buffered()) {
            return Err(memory.refusal().of_request());
        }
        self.partial = (memory.bytes() > 0).then(|| memory.into_count());
        Ok(())
    }

    /// Takes a message out of the data that has arrived.
    fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let (encoding, limit) = (self.encoding, self.limit);
        let envelope = self.reader.next().map_err(|error| refusal(error, limit))?;
        let Some(envelope) = envelope else {
            return Ok(None);
        };
        if envelope.is_end() {
            let text =
                "the stream of the request has an envelope with the flag of the end of a response";
            return Err(invalid(text));
        }
        let mut memory = self.memory.as_call().reserve();
        let message = envelope
            .open(encoding, limit, |bytes| memory.grow_to(bytes))
            .map_err(|error| match error {
                EnvelopeError::NoMemory => memory.refusal().of_request(),
                error => refusal(error, limit),
            })?;
        if !memory.grow_to(message.len()) {
            return Err(memory.refusal().of_request());
        }
        Ok(Some(memory.attach(message)))
    }
}

impl<B> MessageSource<Bytes, Error> for RequestMessages<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    fn poll_message(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let this = &mut *self;
        loop {
            match this.next() {
                Ok(Some(message)) => {
                    this.activity.touch();
                    if !this.reader.is_partial() {
                        this.partial = None;
                    }
                    return Poll::Ready(Some(Ok(message)));
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            let Some(body) = &mut this.body else {
                return Poll::Ready(None);
            };
            let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else {
                ready!(this.stopped.as_mut().poll(cx));
                return Poll::Ready(Some(Err(stopping())));
            };
            match frame {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref()
                        && let Err(error) = this.receive(data)
                    {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(request_broken(error)))),
                None if this.reader.is_partial() => {
                    let text = "the stream of the request ends within a message";
                    return Poll::Ready(Some(Err(invalid(text))));
                }
                None => return Poll::Ready(None),
            }
        }
    }
}

/// Returns the error of an envelope that cannot be read.
pub(crate) fn refusal(error: EnvelopeError, limit: usize) -> Error {
    match error {
        EnvelopeError::TooLarge | EnvelopeError::NoMemory => {
            let text = format!("message exceeds the server's limit of {limit} bytes");
            Error::without_location(Code::ResourceExhausted, text)
        }
        EnvelopeError::UnknownFlags(flags) => invalid(format!(
            "an envelope has the flags {flags:#04x}, of which the protocol defines 0x01 for requests"
        )),
        EnvelopeError::NotNegotiated => {
            let text = "a message is compressed, but the request has no `connect-content-encoding`";
            Error::without_location(Code::Internal, text)
        }
        EnvelopeError::NotGzip(error) => {
            invalid(format!("a compressed message is not valid gzip: {error}"))
        }
    }
}

/// Returns the error of a request stream that is not complete.
pub(crate) fn request_broken(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    let text = "the caller ended the stream of the request before it was complete";
    Error::without_location(Code::Canceled, text).with_source(error)
}

/// Returns the error of a stream that a stopping server ends.
pub(crate) fn stopping() -> Error {
    let text =
        "the server is stopping and ends its streams; open the stream again on another connection";
    let error = Error::without_location(Code::Unavailable, text);
    error.with_retry_after(std::time::Duration::from_millis(100))
}

fn invalid(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::without_location(Code::InvalidArgument, text)
}
