//! The bytes of a body, put together within a limit.

use std::error::Error as StdError;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;

/// Why a body could not be read.
#[derive(Debug)]
pub(crate) enum BodyReadError {
    /// It has, or says that it has, more than the limit.
    TooLarge,
    /// It is broken: a bad chunk, a stream that was reset.
    Broken(Box<dyn StdError + Send + Sync>),
}

/// Reads a body of at most `limit` bytes to its end.
///
/// A body that arrives in one frame, as small ones do, is that frame and is not copied.
pub(crate) async fn collect<B>(body: &mut Pin<&mut B>, limit: usize) -> Result<Bytes, BodyReadError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    // What the length declares is refused before a byte of it is read.
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
    // Room grows with what arrives and not with what is declared, which costs a liar nothing.
    let mut whole = BytesMut::with_capacity(first.len() + second.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    while let Some(data) = next(body, limit - whole.len()).await? {
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// The next data of a body, at most `room` bytes; trailers are nobody's business here.
async fn next<B>(body: &mut Pin<&mut B>, room: usize) -> Result<Option<Bytes>, BodyReadError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyReadError::Broken(error.into()))?;
        if let Ok(data) = frame.into_data() {
            return if data.len() > room {
                Err(BodyReadError::TooLarge)
            } else {
                Ok(Some(data))
            };
        }
    }
    Ok(None)
}
