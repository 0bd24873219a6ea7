//! Reads the responses of calls with streams.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};

use ::http::response::Parts;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::http::{HttpTransport, RequestStage, response_too_large};
use super::response_body;
use crate::client::outbound::RequestStream;
use crate::error::{Code, Error, Result};
use crate::metadata::Metadata;
use crate::middleware::{Body, Response};
use crate::protocol::connect::{self, EnvelopeError, EnvelopeReader, StreamResponseHead};
use crate::streaming::{MessageSource, Streaming};

/// The body of a response over any version of HTTP.
pub(super) type AnyBody =
    Pin<Box<dyn HttpBody<Data = Bytes, Error = Box<dyn StdError + Send + Sync>> + Send>>;

/// The body of hyper, with the error of all bodies.
pub(super) struct Boxed(pub(super) Incoming);

impl HttpBody for Boxed {
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.0).poll_frame(cx);
        polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// Reads the head of a response, and what must be known of its stream before the caller gets it.
/// `is_stream` is whether the method returns a stream, or a single message.
pub(super) async fn read(
    transport: &Arc<HttpTransport>,
    parts: Parts,
    body: AnyBody,
    limit: usize,
    is_stream: bool,
) -> Result<Response> {
    if !connect::is_stream(&parts) {
        let start = response_body::collect(&parts, body, limit).await;
        let start = start.unwrap_or_default();
        return Ok(connect::read_non_stream(&parts, &start).into());
    }
    let StreamResponseHead {
        encoding,
        failed,
        leading,
    } = connect::read_response_head(&parts)?;
    let mut messages = Streaming::from_source(ResponseMessages {
        transport: Arc::clone(transport),
        parts,
        body,
        reader: EnvelopeReader::new(limit),
        encoding,
        limit,
        with_leading: failed || !is_stream,
        trailers: Metadata::new(),
        has_ended: false,
    });
    let result = if failed {
        match messages.message().await? {
            None => Err(protocol_error(
                "the response is marked as failed, and its stream has no error",
            )),
            Some(_) => Err(protocol_error(
                "the response is marked as failed, and its stream has messages",
            )),
        }
    } else if is_stream {
        Ok(Body::stream(messages))
    } else {
        let message = single(&mut messages).await?;
        let mut response = Response::new(Body::message(message));
        *response.headers_mut() = leading;
        *response.trailers_mut() = messages.trailers().clone();
        return Ok(response);
    };
    let mut response = Response::from_result(result);
    *response.headers_mut() = leading;
    Ok(response)
}

/// Reads the only message of a response, and its end.
async fn single(messages: &mut Streaming<Bytes>) -> Result<Bytes> {
    let unimplemented = |text| Error::without_location(Code::Unimplemented, text);
    let Some(message) = messages.message().await? else {
        return Err(unimplemented(
            "the response has no message, and one is expected",
        ));
    };
    match messages.message().await? {
        None => Ok(message),
        Some(_) => Err(unimplemented(
            "the response has more than one message, and one is expected",
        )),
    }
}

/// Returns the error of the application's own request stream in place of what it led to.
pub(super) fn prefer_failure(response: &mut Response, stream: &Arc<RequestStream>) {
    if let Some(error) = response.error_mut() {
        if let Some(failure) = stream.failure() {
            *error = failure.clone();
        }
    } else if let Some(messages) = response.body_mut().and_then(Body::as_stream_mut) {
        let stream = Arc::clone(stream);
        *messages = std::mem::take(messages).map_messages(move |message| {
            message.map_err(|error| stream.failure().cloned().unwrap_or(error))
        });
    }
}

fn protocol_error(text: &'static str) -> Error {
    Error::without_location(Code::Internal, text)
}

/// The messages of a response.
struct ResponseMessages {
    transport: Arc<HttpTransport>,
    parts: Parts,
    body: AnyBody,
    reader: EnvelopeReader,
    encoding: crate::compression::Encoding,
    limit: usize,
    /// Whether an error has the headers of the response: the caller gets no stream with them.
    with_leading: bool,
    trailers: Metadata,
    /// Whether the end of the stream has arrived.
    has_ended: bool,
}

/// The next part of a response in the data that has arrived.
enum Read {
    Message(Bytes),
    End(Option<Error>),
    Nothing,
}

impl ResponseMessages {
    fn read(&mut self) -> Result<Read> {
        let envelope = self.reader.next();
        let Some(envelope) = envelope.map_err(|error| self.refusal(error))? else {
            return Ok(Read::Nothing);
        };
        let is_end = envelope.is_end();
        let opened = envelope.open(self.encoding, self.limit, |_| true);
        let payload = opened.map_err(|error| self.refusal(error))?;
        if !is_end {
            return Ok(Read::Message(payload));
        }
        let end = connect::read_end_stream(&payload, &self.parts.headers, self.with_leading);
        self.trailers = end.trailers;
        self.has_ended = true;
        Ok(Read::End(end.error))
    }

    /// Waits for the end of the body after that of the stream: the connection can be used again
    /// then, and nothing may follow.
    fn poll_rest(&mut self, cx: &mut task::Context<'_>) -> Poll<Option<Error>> {
        loop {
            if self.reader.is_partial() {
                let text = "the response has data after the end of its stream";
                return Poll::Ready(Some(protocol_error(text)));
            }
            match ready!(self.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.reader.push(data);
                    }
                }
                // All that is needed has arrived.
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
    }

    fn refusal(&self, error: EnvelopeError) -> Error {
        match error {
            EnvelopeError::TooLarge | EnvelopeError::NoMemory => {
                response_too_large(&self.transport.target(), self.limit)
            }
            EnvelopeError::UnknownFlags(flags) => Error::without_location(
                Code::Internal,
                format!("an envelope of the response has the unknown flags {flags:#04x}"),
            ),
            EnvelopeError::NotNegotiated => protocol_error(
                "a message of the response is compressed, and its head names no compression",
            ),
            EnvelopeError::NotGzip(error) => Error::without_location(
                Code::Internal,
                format!("a message of the response is not valid gzip: {error}"),
            ),
        }
    }

    /// Returns the error of a response that ends without the end of its stream.
    fn cut_off(&self) -> Error {
        let text = if self.reader.is_partial() {
            "ends within a message"
        } else {
            "ends without the end of its stream"
        };
        let target = self.transport.target();
        let text = format!("the response of {target} {text}; the call may have been executed");
        Error::without_location(Code::Internal, text)
    }
}

impl MessageSource<Bytes, Error> for ResponseMessages {
    fn poll_message(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let this = &mut *self;
        loop {
            if this.has_ended {
                return this.poll_rest(cx).map(|error| error.map(Err));
            }
            match this.read() {
                Ok(Read::Message(message)) => return Poll::Ready(Some(Ok(message))),
                Ok(Read::End(None)) => continue,
                Ok(Read::End(Some(error))) => {
                    // The caller does not wait for more than the error.
                    let _ = this.poll_rest(cx);
                    return Poll::Ready(Some(Err(error)));
                }
                Ok(Read::Nothing) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        this.reader.push(data);
                    }
                }
                Some(Err(error)) => {
                    let stage = RequestStage::Receiving;
                    let error = this.transport.connection_error(stage, &*error);
                    return Poll::Ready(Some(Err(error)));
                }
                None => return Poll::Ready(Some(Err(this.cut_off()))),
            }
        }
    }

    fn take_trailers(mut self: Pin<&mut Self>) -> Metadata {
        std::mem::take(&mut self.trailers)
    }
}
