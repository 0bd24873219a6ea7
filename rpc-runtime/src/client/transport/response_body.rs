//! Reads the body of a response.

use std::error::Error as StdError;
use std::pin::{Pin, pin};
use std::time::Duration;

use ::http::response::Parts;
use bytes::{Bytes, BytesMut};
use http_body::Body;
use tokio::time::timeout;

use crate::protocol::body::{self, BodyReadError};
use crate::protocol::connect::{self, ERROR_LIMIT};

/// The time for which the rest of an error is waited for when nothing arrives. The status is more
/// important than the rest of a page.
const ERROR_IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads the body of a response: a message of at most `limit` bytes, or the start of any other one.
pub(super) async fn collect<B>(parts: &Parts, body: B, limit: usize) -> Result<Bytes, BodyReadError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let mut body = pin!(body);
    if connect::is_message(parts) {
        body::collect(&mut body, limit, |_| true).await
    } else {
        // The limit is for messages. It must not hide the status of an error.
        collect_start(&mut body).await
    }
}

/// Reads the body of an error up to its end or its limit, and no further when nothing arrives for a
/// while.
async fn collect_start<B>(body: &mut Pin<&mut B>) -> Result<Bytes, BodyReadError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let mut start = BytesMut::new();
    while start.len() < ERROR_LIMIT {
        let Ok(next) = timeout(ERROR_IDLE_TIMEOUT, body::next(body, usize::MAX)).await else {
            break;
        };
        let Some(data) = next? else {
            break;
        };
        let fits = data.len().min(ERROR_LIMIT - start.len());
        start.extend_from_slice(&data[..fits]);
    }
    Ok(start.freeze())
}
