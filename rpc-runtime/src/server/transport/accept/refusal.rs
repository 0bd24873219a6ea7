//! Refuses connections that the server does not serve, so that their callers know that nothing was
//! done. A connection that is closed without a word may have lost its response.

use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::activity::Protocol;
use super::drive::linger;
use super::io::sniff;
use crate::error::{Code, Error};
use crate::observe::ConnectionMetrics;
use crate::protocol::connect::{RejectionFormat, write_rejection};
use crate::protocol::context::REQUEST_ID;
use crate::request_id::RequestId;

/// The time for the first bytes of a request. They usually follow the connection at once.
const FIRST_BYTES_TIMEOUT: Duration = Duration::from_millis(250);

/// The time for refusing a connection, from its first byte to its end.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// The reason why a connection is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its peer has reached its limit of connections.
    PeerLimit,
    /// The server is stopping.
    Stopping,
    /// The peer sends plain HTTP to a TLS listener.
    NeedsTls,
}

impl Refusal {
    fn error(self) -> Error {
        let (text, delay) = match self {
            Self::NeedsTls => {
                let text = "this listener speaks TLS, and the request is plain HTTP; the call was not begun: use a \
                            URL with `https://`";
                return Error::without_location(Code::InvalidArgument, text).not_executed();
            }
            Self::PeerLimit => (
                "too many connections from one address; the call was not begun: use fewer connections, or raise \
                 `Limits::connections_per_peer` of the server",
                Duration::from_millis(500),
            ),
            Self::Stopping => (
                "the server is stopping; the call was not begun: use another server",
                Duration::from_millis(100),
            ),
        };
        let error = Error::without_location(Code::Unavailable, text);
        error.with_retry_after(delay).not_executed()
    }

    fn response(self, protocol: Protocol) -> Vec<u8> {
        match protocol {
            Protocol::Http1 => self.http1(),
            Protocol::Http2 => self.http2(),
        }
    }

    fn http1(self) -> Vec<u8> {
        let mut response = write_rejection(&self.error(), RejectionFormat::Error);
        let length = response.body().len();
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, length.into());
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if let Ok(id) = HeaderValue::from_str(RequestId::random().as_str()) {
            headers.insert(REQUEST_ID.clone(), id);
        }
        let mut bytes = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
        for (name, value) in response.headers() {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(response.body());
        bytes
    }

    /// Returns empty settings, and a `GOAWAY` that no stream was processed. Source: RFC 9113,
    /// sections 6.5 and 6.8.
    fn http2(self) -> Vec<u8> {
        const NO_ERROR: u8 = 0;
        const PROTOCOL_ERROR: u8 = 1;
        const ENHANCE_YOUR_CALM: u8 = 0xb;
        let (code, text) = match self {
            Self::PeerLimit => (ENHANCE_YOUR_CALM, "too_many_connections"),
            Self::Stopping => (NO_ERROR, "stopping"),
            Self::NeedsTls => (PROTOCOL_ERROR, "tls_required"),
        };
        let mut bytes = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
        // The texts are short.
        let length = u8::try_from(8 + text.len()).unwrap_or_default();
        bytes.extend([0, 0, length, 7, 0, 0, 0, 0, 0]);
        bytes.extend([0, 0, 0, 0, 0, 0, 0, code]);
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }
}

/// Refuses a connection by its protocol, and closes it. One that sends nothing in time is closed
/// without a response. Its peer does not know that nothing was done.
pub(super) async fn refuse<I>(mut io: I, refusal: Refusal, metrics: &ConnectionMetrics)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let start = match timeout(FIRST_BYTES_TIMEOUT, sniff(&mut io)).await {
        Ok(Ok(Some(start))) => start,
        // The peer has closed it.
        Ok(_) => return,
        Err(_) => return metrics.unanswered("its first bytes did not arrive in time"),
    };
    let refusing = async {
        io.write_all(&refusal.response(start.protocol)).await?;
        io.shutdown().await?;
        linger(io).await;
        std::io::Result::Ok(())
    };
    if let Ok(Err(error)) = timeout(REFUSAL_TIMEOUT, refusing).await {
        tracing::debug!(target: "rpc", %error, "failed to refuse a connection");
    }
}
