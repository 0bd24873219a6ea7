//! Reads a body into memory, up to a limit.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;

/// The reason why a body cannot be read.
#[derive(Debug)]
pub(crate) enum BodyReadError {
    /// The body exceeds the limit, or declares a length that does.
    TooLarge,
    /// There is no memory for the body.
    NoMemory,
    /// The body is malformed or incomplete, such as an invalid chunk or a stream that was reset.
    Broken(Box<dyn StdError + Send + Sync>),
}

/// Reads a body of at most `limit` bytes to its end. Calls `may_take` with the number of bytes in
/// memory before it takes more, and ends if that returns `false`.
///
/// A body that arrives in one frame, as small ones do, is not copied.
pub(crate) async fn collect<B>(
    body: &mut Pin<&mut B>,
    limit: usize,
    mut may_take: impl FnMut(usize) -> bool,
) -> Result<Bytes, BodyReadError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    // A declared length over the limit is rejected before anything is read.
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(BodyReadError::TooLarge);
    }
    let Some(first) = next(body, limit).await? else {
        return Ok(Bytes::new());
    };
    if !may_take(first.len()) {
        return Err(BodyReadError::NoMemory);
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    // The buffer grows with the received data. A peer could declare any length without sending it.
    let mut whole = Vec::new();
    match poll_once(pin!(next(body, limit - first.len()))).await {
        Poll::Ready(Ok(None)) => return Ok(first),
        Poll::Ready(second) => {
            let second = second?.unwrap_or_default();
            append(&mut whole, &[first, second], limit, &mut may_take)?;
        }
        // While the body waits, a slice would keep the buffer of the connection in memory.
        Poll::Pending => append(&mut whole, &[first], limit, &mut may_take)?,
    }
    while let Some(data) = next(body, limit - whole.len()).await? {
        append(&mut whole, &[data], limit, &mut may_take)?;
    }
    Ok(whole.into())
}

/// Polls a future once.
pub(crate) async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Appends data to a buffer. If it does not fit, the capacity doubles, up to `limit`.
fn append(
    whole: &mut Vec<u8>,
    data: &[Bytes],
    limit: usize,
    may_take: &mut impl FnMut(usize) -> bool,
) -> Result<(), BodyReadError> {
    let length = whole.len() + data.iter().map(Bytes::len).sum::<usize>();
    if length > whole.capacity() {
        let doubled = whole.capacity().saturating_mul(2).min(limit);
        let capacity = length.max(doubled);
        if !may_take(capacity) {
            return Err(BodyReadError::NoMemory);
        }
        whole.reserve_exact(capacity - whole.len());
    }
    for data in data {
        whole.extend_from_slice(data);
    }
    Ok(())
}

/// Returns the next data of a body, at most `limit` bytes. Trailers are skipped.
pub(crate) async fn next<B>(
    body: &mut Pin<&mut B>,
    limit: usize,
) -> Result<Option<Bytes>, BodyReadError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyReadError::Broken(error.into()))?;
        if let Ok(data) = frame.into_data() {
            return if data.len() > limit {
                Err(BodyReadError::TooLarge)
            } else {
                Ok(Some(data))
            };
        }
    }
    Ok(None)
}
