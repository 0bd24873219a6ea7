//! Streams of messages.
//!
//! | module | content |
//! | --- | --- |
//! | `mod` | [`Streaming`], the stream of a method's arguments or results |
//! | `source` | the sources of streams: the network, a developer's stream, another stream |
//! | `sender` | streams that are written by code: [`StreamSender`] |
//! | `timers` | the times at which a stream ends by itself |

#[cfg(feature = "_wire")]
mod sender;
mod source;
#[cfg(feature = "_wire")]
mod timers;

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{self, Poll};

use bytes::Bytes;
use futures_core::Stream;

#[cfg(feature = "_wire")]
pub use self::sender::{StreamClosed, StreamSender};
pub(crate) use self::source::MessageSource;
use self::source::{FromStream, Mapped};
#[cfg(feature = "_wire")]
pub(crate) use self::timers::{StreamActivity, StreamTimers};
use crate::error::Error;
use crate::metadata::Metadata;

/// A stream of messages, as an argument or as the result of a method. It ends after its last
/// message, or with an error.
///
/// ```
/// use rpc_runtime::prelude::*;
///
/// #[rpc_service]
/// trait Numbers {
///     /// Returns the numbers up to `end`.
///     async fn count(&self, end: u64) -> Result<Streaming<u64>>;
///     /// Returns the sum of the numbers that the caller sends.
///     async fn sum(&self, numbers: Streaming<u64>) -> Result<u64>;
/// }
///
/// struct Plain;
///
/// impl Numbers for Plain {
///     async fn count(&self, end: u64) -> Result<Streaming<u64>> {
///         Ok((0..end).collect())
///     }
///
///     async fn sum(&self, mut numbers: Streaming<u64>) -> Result<u64> {
///         let mut sum = 0;
///         while let Some(number) = numbers.message().await? {
///             sum += number;
///         }
///         Ok(sum)
///     }
/// }
///
/// # async fn example() -> Result<()> {
/// let client = NumbersClient::local(Plain);
/// let numbers = client.count(4).await?;
/// assert_eq!(client.sum(numbers).await?, 6);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
/// ```
///
/// Messages are read one by one. A reader that waits holds the writer back, whether they are in one
/// process or not.
///
/// # Cancellation
///
/// Dropping a stream before its end ends it on the other side too: a handler whose caller drops the
/// result is dropped itself, and a caller whose request stream is dropped stops sending.
pub struct Streaming<T, E = Error> {
    /// `None` after the end.
    source: Option<Pin<Box<dyn MessageSource<T, E> + Send>>>,
    trailers: Metadata,
}

impl<T, E> Streaming<T, E> {
    /// Wraps a stream. The first error ends it.
    pub fn new(stream: impl Stream<Item = Result<T, E>> + Send + 'static) -> Self {
        Self::from_source(FromStream::new(stream))
    }

    /// Creates a stream without messages.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            source: None,
            trailers: Metadata::new(),
        }
    }

    pub(crate) fn from_source(source: impl MessageSource<T, E> + Send + 'static) -> Self {
        Self {
            source: Some(Box::pin(source)),
            trailers: Metadata::new(),
        }
    }

    /// Returns the next message, or `None` after the last one.
    ///
    /// # Errors
    ///
    /// The error that ends the stream.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses no message.
    pub async fn message(&mut self) -> Result<Option<T>, E> {
        let next = poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await;
        next.transpose()
    }

    /// Returns the metadata that a server sent after the last message. Empty before the end, and
    /// after an error, which has it in [`Error::metadata`].
    #[must_use]
    pub fn trailers(&self) -> &Metadata {
        &self.trailers
    }

    /// Returns a stream with the results of `map`, which gets each message and the error that ends
    /// the stream. The trailers stay.
    #[must_use]
    pub fn map_messages<U, F>(
        self,
        map: impl FnMut(Result<T, E>) -> Result<U, F> + Send + 'static,
    ) -> Streaming<U, F>
    where
        T: 'static,
        E: 'static,
    {
        Streaming::from_source(Mapped::new(self, map))
    }

    pub(crate) fn take_trailers(&mut self) -> Metadata {
        std::mem::take(&mut self.trailers)
    }
}

/// The encoded messages of one side of a call.
#[derive(Debug)]
pub enum BodyKind {
    /// A single message.
    Message(Bytes),
    /// A stream of messages.
    Stream(Streaming<Bytes>),
}

impl<T, E> Stream for Streaming<T, E> {
    type Item = Result<T, E>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<T, E>>> {
        let Some(source) = &mut self.source else {
            return Poll::Ready(None);
        };
        let polled = source.as_mut().poll_message(cx);
        match &polled {
            Poll::Pending | Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(end) => {
                let trailers = source.as_mut().take_trailers();
                if end.is_none() {
                    self.trailers = trailers;
                }
                // What the source holds, such as a connection, is free from here on.
                self.source = None;
            }
        }
        polled
    }
}

/// A stream without messages.
impl<T, E> Default for Streaming<T, E> {
    fn default() -> Self {
        Self::empty()
    }
}

/// A stream of these messages.
impl<T: Send + 'static, E> FromIterator<T> for Streaming<T, E> {
    fn from_iter<I: IntoIterator<Item = T>>(messages: I) -> Self {
        let messages: Vec<T> = messages.into_iter().collect();
        Self::from_source(source::Ready(messages.into_iter()))
    }
}

impl<T, E> fmt::Debug for Streaming<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming")
            .field("ended", &self.source.is_none())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
