//! The sources of streams.

use std::pin::Pin;
use std::task::{self, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;

use super::Streaming;
use crate::metadata::Metadata;

/// The source of a [`Streaming`]. It is not polled after its end or its error.
pub(crate) trait MessageSource<T, E> {
    /// Polls the next message.
    fn poll_message(self: Pin<&mut Self>, cx: &mut task::Context<'_>)
    -> Poll<Option<Result<T, E>>>;

    /// Takes the metadata that came after the last message. Called after the end only.
    fn take_trailers(self: Pin<&mut Self>) -> Metadata {
        Metadata::new()
    }
}

pin_project! {
    /// A stream of the developer.
    pub(super) struct FromStream<S> {
        #[pin]
        stream: S,
    }
}

impl<S> FromStream<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream }
    }
}

impl<T, E, S: Stream<Item = Result<T, E>>> MessageSource<T, E> for FromStream<S> {
    fn poll_message(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<T, E>>> {
        self.project().stream.poll_next(cx)
    }
}

/// Messages that are there.
pub(super) struct Ready<T>(pub(super) std::vec::IntoIter<T>);

// Nothing of it is pinned.
impl<T> Unpin for Ready<T> {}

impl<T, E> MessageSource<T, E> for Ready<T> {
    fn poll_message(
        mut self: Pin<&mut Self>,
        _cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<T, E>>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}

/// A stream whose messages are changed.
pub(super) struct Mapped<T, E, M> {
    stream: Streaming<T, E>,
    map: M,
}

impl<T, E, M> Mapped<T, E, M> {
    pub(super) fn new(stream: Streaming<T, E>, map: M) -> Self {
        Self { stream, map }
    }
}

// Nothing of it is pinned.
impl<T, E, M> Unpin for Mapped<T, E, M> {}

impl<T, E, U, F, M> MessageSource<U, F> for Mapped<T, E, M>
where
    M: FnMut(Result<T, E>) -> Result<U, F>,
{
    fn poll_message(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<U, F>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.stream).poll_next(cx);
        polled.map(|next| next.map(&mut this.map))
    }

    fn take_trailers(mut self: Pin<&mut Self>) -> Metadata {
        self.stream.take_trailers()
    }
}
