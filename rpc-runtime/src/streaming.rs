//! Stream of messages as a named type.

use std::fmt;
use std::pin::Pin;
use std::task;

use futures_core::Stream;

use crate::error::Error;

/// A stream of messages; an error ends it.
///
/// Streaming methods are not supported yet: a trait method that uses this type does not compile.
///
/// ```
/// use rpc_runtime::Streaming;
///
/// let two: Streaming<u32> = Streaming::new(futures_util::stream::iter([Ok(1), Ok(2)]));
/// # drop(two);
/// ```
pub struct Streaming<T, E = Error>(Pin<Box<dyn Stream<Item = Result<T, E>> + Send>>);

impl<T, E> Streaming<T, E> {
    /// Wraps a stream.
    pub fn new(stream: impl Stream<Item = Result<T, E>> + Send + 'static) -> Self {
        Self(Box::pin(stream))
    }
}

impl<T, E> Stream for Streaming<T, E> {
    type Item = Result<T, E>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> task::Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T, E> fmt::Debug for Streaming<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming").finish_non_exhaustive()
    }
}
