//! Streams that are written by code.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{self, Poll, ready};

use tokio::sync::mpsc;

use super::{MessageSource, Streaming};
use crate::error::{Code, Error, IntoError, RpcError};
use crate::sync::MutexExt as _;

/// The number of messages that [`Streaming::with_sender`] holds besides the one that is sent.
const PRODUCED: usize = 1;

/// The end that the writer of a channel has set.
type End<E> = Arc<Mutex<Option<Result<(), E>>>>;

/// Writes the messages of a [`Streaming`]; see [`Streaming::with_sender`] and
/// [`Streaming::channel`].
pub struct StreamSender<T, E = Error> {
    messages: mpsc::Sender<T>,
    end: End<E>,
}

impl<T, E> StreamSender<T, E> {
    /// Sends a message. Waits while the stream holds as many as it can, so that a slow reader holds
    /// the writer back.
    ///
    /// # Errors
    ///
    /// [`StreamClosed`] if the stream was dropped: nothing reads the message any more.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the message is not sent.
    pub async fn send(&self, message: T) -> Result<(), StreamClosed> {
        self.messages.send(message).await.map_err(|_| StreamClosed)
    }

    /// Waits until the stream is dropped.
    pub async fn closed(&self) {
        self.messages.closed().await;
    }

    /// Ends the stream after the messages that were sent.
    pub fn finish(self) {
        self.end_with(Ok(()));
    }

    /// Ends the stream with an error after the messages that were sent.
    pub fn fail(self, error: E) {
        self.end_with(Err(error));
    }

    fn end_with(self, end: Result<(), E>) {
        *self.end.lock_unpoisoned() = Some(end);
    }
}

impl<T, E> fmt::Debug for StreamSender<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSender")
            .field("closed", &self.messages.is_closed())
            .finish_non_exhaustive()
    }
}

/// The error of a message whose stream was dropped. As an error of a method it is `canceled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamClosed;

impl fmt::Display for StreamClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream was dropped by its reader")
    }
}

impl std::error::Error for StreamClosed {}

#[diagnostic::do_not_recommend]
impl IntoError for StreamClosed {
    fn into_error(self, location: &'static Location<'static>) -> Error {
        let mut error = Error::without_location(Code::Canceled, self.to_string());
        error.locate(Some(location));
        error.with_source(self)
    }
}

impl<T: Send + 'static, E: Send + 'static> Streaming<T, E> {
    /// Creates a stream that is written by a future, which runs while the stream is read. The
    /// stream ends when the future ends: with its error, if it has one.
    ///
    /// ```
    /// use rpc_runtime::{Result, Streaming};
    ///
    /// fn squares(end: u64) -> Streaming<u64> {
    ///     Streaming::with_sender(async move |sender| {
    ///         for number in 0..end {
    ///             sender.send(number * number).await?;
    ///         }
    ///         Ok(())
    ///     })
    /// }
    /// # let _ = squares(3);
    /// ```
    ///
    /// # Cancellation
    ///
    /// The future is dropped with the stream.
    pub fn with_sender<F, Fut>(produce: F) -> Self
    where
        F: FnOnce(StreamSender<T, E>) -> Fut,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
    {
        let (messages, received) = mpsc::channel(PRODUCED);
        let end = End::default();
        let sender = StreamSender {
            messages,
            end: Arc::clone(&end),
        };
        Self::from_source(Produced {
            future: Some(Box::pin(produce(sender))),
            received,
            end,
            panic: None,
        })
    }
}

impl<T: Send + 'static, E: RpcError> Streaming<T, E> {
    /// Creates a stream and the sender of its messages, for another task. The stream holds
    /// `capacity` messages that are not read, and at least one.
    ///
    /// The stream ends by [`StreamSender::finish`] or [`StreamSender::fail`]. A sender that is
    /// dropped without them, as by a `?` or a panic, ends the stream with the error `aborted`: an
    /// incomplete stream never looks like a complete one.
    #[must_use]
    pub fn channel(capacity: usize) -> (StreamSender<T, E>, Self) {
        let (messages, received) = mpsc::channel(capacity.max(1));
        let end = End::default();
        let sender = StreamSender {
            messages,
            end: Arc::clone(&end),
        };
        (sender, Self::from_source(Channel { received, end }))
    }
}

/// A stream that is written by a future.
struct Produced<T, E, F> {
    /// `None` after its end.
    future: Option<Pin<Box<F>>>,
    received: mpsc::Receiver<T>,
    end: End<E>,
    /// The panic of the future. It goes on after the messages that were sent before it.
    panic: Option<Box<dyn Any + Send>>,
}

// Nothing of it is pinned.
impl<T, E, F> Unpin for Produced<T, E, F> {}

impl<T, E, F: Future<Output = Result<(), E>>> Produced<T, E, F> {
    /// Runs the future until it waits or ends.
    fn produce(&mut self, cx: &mut task::Context<'_>) {
        let Some(future) = &mut self.future else {
            return;
        };
        // Unwind safe: after a panic the future is not polled again.
        let ended = match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(end)) => Some(end),
            Err(panic) => {
                self.panic = Some(panic);
                None
            }
        };
        self.future = None;
        // A task of the future may still hold the sender.
        self.received.close();
        if let Some(end) = ended {
            let mut known = self.end.lock_unpoisoned();
            if end.is_err() || known.is_none() {
                *known = Some(end);
            }
        }
    }
}

impl<T, E, F: Future<Output = Result<(), E>>> MessageSource<T, E> for Produced<T, E, F> {
    fn poll_message(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<T, E>>> {
        let this = &mut *self;
        if let Poll::Ready(Some(message)) = this.received.poll_recv(cx) {
            return Poll::Ready(Some(Ok(message)));
        }
        this.produce(cx);
        match ready!(this.received.poll_recv(cx)) {
            Some(message) => Poll::Ready(Some(Ok(message))),
            // The sender is dropped, and the future may still run.
            None if this.future.is_some() => Poll::Pending,
            None => {
                if let Some(panic) = this.panic.take() {
                    resume_unwind(panic);
                }
                let end = this.end.lock_unpoisoned().take();
                Poll::Ready(end.and_then(Result::err).map(Err))
            }
        }
    }
}

/// A stream that is written by another task.
struct Channel<T, E> {
    received: mpsc::Receiver<T>,
    end: End<E>,
}

// Nothing of it is pinned.
impl<T, E> Unpin for Channel<T, E> {}

impl<T, E: RpcError> MessageSource<T, E> for Channel<T, E> {
    fn poll_message(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<T, E>>> {
        if let Some(message) = ready!(self.received.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(message)));
        }
        let end = self.end.lock_unpoisoned().take();
        Poll::Ready(match end {
            Some(Ok(())) => None,
            Some(Err(error)) => Some(Err(error)),
            None => Some(Err(E::from_error(&Error::without_location(
                Code::Aborted,
                "the sender of the stream was dropped before it finished the stream",
            )))),
        })
    }
}
