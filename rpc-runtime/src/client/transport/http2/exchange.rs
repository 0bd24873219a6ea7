//! One request and its response.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ::http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use ::http::response::Parts;
use ::http::{Method, Request};
use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http_body::{Body, Frame, SizeHint};
use tokio::time::sleep;

use super::connection::{Health, Lease};
use super::origin::{ConnectError, Origin};
use super::queue::ClientId;
use crate::client::transport::response_body::collect;
use crate::protocol::body::BodyReadError;

/// The number of connections that may turn out to be shutting down before a request fails.
const MAX_LEFT: u32 = 2;

/// The time after which a call looks again whether a connection allows streams, and how often: for
/// a second.
const STREAM_POLL: Duration = Duration::from_millis(20);
const STREAM_POLLS: u32 = 50;

/// The options of an exchange.
#[derive(Debug, Clone, Copy)]
pub(in crate::client::transport) struct ExchangeOptions {
    /// The maximum size of the body of the response, in bytes.
    pub(in crate::client::transport) limit: usize,
    /// The deadline of the call. The caller drops the exchange then.
    pub(in crate::client::transport) deadline: Option<Instant>,
    /// The client that makes the call.
    pub(in crate::client::transport) client: ClientId,
}

/// The reason why an exchange failed.
#[derive(Debug)]
pub(in crate::client::transport) enum ExchangeError {
    /// No connection could be opened.
    Connect(ConnectError),
    /// The server did not begin to process the request. Holds what it did instead.
    NotBegun(&'static str),
    /// The connection or the stream broke after the request was sent.
    Broken(Box<dyn StdError + Send + Sync>),
    /// The response exceeds the limit.
    TooLarge,
}

/// Sends a request and reads the response. `write` returns the request, and is called when there is
/// a stream for it, which may take a while.
///
/// # Cancellation
///
/// Dropping the future resets the stream.
pub(super) async fn send(
    origin: &Arc<Origin>,
    write: impl FnOnce() -> Request<Bytes>,
    options: ExchangeOptions,
) -> Result<(Parts, Bytes), ExchangeError> {
    // Declared first, so that its stream is free only after the parts below are dropped.
    let (mut lease, mut requests) = ready_connection(origin, options).await?;
    let (mut head, message) = write().into_parts();
    if head.method == Method::POST {
        let length = HeaderValue::from(message.len());
        head.headers.insert(CONTENT_LENGTH, length);
    }
    let request = Request::from_parts(head, ());
    let Ok((response, mut stream)) = requests.send_request(request, message.is_empty()) else {
        // There is no stream, so nothing was sent.
        lease.leave();
        return Err(ExchangeError::NotBegun(SHUTTING_DOWN));
    };
    if !message.is_empty() && stream.send_data(message, true).is_err() {
        // The stream has already ended; the response says why.
    }
    drop(stream);
    let (parts, stream) = match response.await {
        Ok(response) => response.into_parts(),
        Err(error) => return Err(failure(&lease, error)),
    };
    lease.responded();
    let incoming = ReceivedBody {
        declared: declared_length(&parts.headers),
        health: lease.health(),
        stream,
    };
    match collect(&parts, incoming, options.limit).await {
        Ok(body) => Ok((parts, body)),
        Err(BodyReadError::TooLarge | BodyReadError::NoMemory) => Err(ExchangeError::TooLarge),
        Err(BodyReadError::Broken(error)) => Err(broken(lease.health(), error)),
    }
}

pub(super) const SHUTTING_DOWN: &str = "is shutting down (GOAWAY)";

/// Takes a stream of a connection that is not known to be shutting down.
///
/// A server may allow no stream for a moment. A connection on which it does for longer is left.
pub(super) async fn ready_connection(
    origin: &Arc<Origin>,
    options: ExchangeOptions,
) -> Result<(Lease, SendRequest<Bytes>), ExchangeError> {
    let mut without_streams = false;
    for _ in 0..=MAX_LEFT {
        let mut lease = origin
            .lease(options.client)
            .await
            .map_err(ExchangeError::Connect)?;
        let mut requests = lease.requests();
        // A call that waits for a stream until its deadline counts like one without a response.
        lease.expires(options.deadline);
        if !gets_stream(&requests).await {
            without_streams = true;
        } else if poll_fn(|cx| requests.poll_ready(cx)).await.is_ok() {
            return Ok((lease, requests));
        }
        lease.leave();
    }
    if without_streams {
        let text = "the server allows no streams (MAX_CONCURRENT_STREAMS is 0)";
        return Err(ExchangeError::Connect(ConnectError::new(text)));
    }
    Err(ExchangeError::NotBegun(SHUTTING_DOWN))
}

/// Waits while the server allows no streams. Returns `false` if that lasts.
async fn gets_stream(requests: &SendRequest<Bytes>) -> bool {
    for _ in 0..STREAM_POLLS {
        if requests.current_max_send_streams() > 0 {
            return true;
        }
        // `h2` does not tell when the number changes.
        sleep(STREAM_POLL).await;
    }
    false
}

/// Converts the error of a request that got no response.
pub(super) fn failure(lease: &Lease, error: h2::Error) -> ExchangeError {
    match not_begun(&error) {
        Some(what) => {
            if error.is_go_away() {
                lease.leave();
            }
            ExchangeError::NotBegun(what)
        }
        None => broken(lease.health(), error.into()),
    }
}

/// Returns what the server did instead of processing a request, if the error says so.
///
/// `h2` gives the error of a `GOAWAY` only to the streams above the last one that the server may
/// have processed. The others go on, and have the error of the connection when it ends.
pub(in crate::client::transport) fn not_begun(error: &h2::Error) -> Option<&'static str> {
    if !error.is_remote() {
        None
    } else if error.is_go_away() {
        Some(SHUTTING_DOWN)
    } else if error.reason() == Some(Reason::REFUSED_STREAM) {
        Some("refused the call (REFUSED_STREAM)")
    } else {
        None
    }
}

pub(super) fn broken(health: &Health, error: Box<dyn StdError + Send + Sync>) -> ExchangeError {
    ExchangeError::Broken(match health.failure() {
        Some(failure) => failure.into(),
        None => error,
    })
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The body of a response.
struct ReceivedBody<'a> {
    stream: RecvStream,
    declared: Option<u64>,
    health: &'a Health,
}

impl Body for ReceivedBody<'_> {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let data = match ready!(self.stream.poll_data(cx)) {
            Some(Ok(data)) => data,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => return Poll::Ready(None),
        };
        self.health.received();
        // The data is read into memory up to the limit, so the window opens at once.
        let released = self.stream.flow_control().release_capacity(data.len());
        Poll::Ready(Some(released.map(|()| Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.declared
            .map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
