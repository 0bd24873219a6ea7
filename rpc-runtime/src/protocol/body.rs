//! Reads a body into memory, up to a limit.

use std::error::Error as StdError;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;

/// The reason why a body cannot be read.
#[derive(Debug)]
pub(crate) enum BodyReadError {
    /// The body exceeds the limit, or declares a length that does.
    TooLarge,
    /// The body is malformed or incomplete, such as an invalid chunk or a stream that was reset.
    Broken(Box<dyn StdError + Send + Sync>),
}

/// Reads a body of at most `limit` bytes to its end.
///
/// A body that arrives in one frame, as small ones do, is not copied.
pub(crate) async fn collect<B>(body: &mut Pin<&mut B>, limit: usize) -> Result<Bytes, BodyReadError>
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
    if body.is_end_stream() {
        return Ok(first);
    }
    let Some(second) = next(body, limit - first.len()).await? else {
        return Ok(first);
    };
    // The buffer grows with the received data. A peer could declare any length without sending it.
    let mut whole = BytesMut::with_capacity(first.len() + second.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    while let Some(data) = next(body, limit - whole.len()).await? {
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
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
