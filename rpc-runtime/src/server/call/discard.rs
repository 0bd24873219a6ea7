//! Reads what is left of a request.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

/// Maximum time for reading a discarded body.
pub(super) const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Reads and discards a body of at most `limit` bytes; returns whether it reached the end.
///
/// Closing an HTTP/1 connection with unread bytes makes the operating system send a reset, and a
/// client that is still writing would see the reset instead of the response.
pub(crate) async fn discard<B>(body: &mut Pin<&mut B>, limit: usize) -> bool
where
    B: Body<Data = Bytes>,
{
    let mut remaining = limit;
    let reading = async {
        while !body.is_end_stream() {
            match body.frame().await {
                None => break,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    match remaining.checked_sub(length) {
                        Some(left) => remaining = left,
                        None => return false,
                    }
                }
            }
        }
        true
    };
    timeout(DISCARD_TIME, reading).await.unwrap_or(false)
}
