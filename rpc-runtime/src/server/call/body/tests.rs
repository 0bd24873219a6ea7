use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use http_body_util::{Full, StreamBody};
use tokio::time::Instant;

use super::*;
use crate::server::Limits;
use crate::server::call::discard::{DISCARD_TIME, discard};
use crate::server::memory::{CallMemory, MessageMemory};

/// Returns a body of these frames, all available immediately, without a length.
fn frames(frames: &[&'static [u8]]) -> impl Body<Data = Bytes, Error = Infallible> + use<> {
    let mut left: VecDeque<_> = frames.iter().copied().collect();
    StreamBody::new(futures(move || {
        left.pop_front()
            .map(|data| Ok(Frame::data(Bytes::from_static(data))))
    }))
}

/// Returns a stream of the items of a closure.
fn futures<T>(next: impl FnMut() -> Option<T> + Unpin) -> impl futures_core::Stream<Item = T> {
    struct Iter<F>(F);
    impl<T, F: FnMut() -> Option<T> + Unpin> futures_core::Stream for Iter<F> {
        type Item = T;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<Option<T>> {
            Poll::Ready((self.0)())
        }
    }
    Iter(next)
}

/// A body that produces at most one frame, and does not end.
struct Silent(Option<Bytes>);

impl Body for Silent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let first = self.0.take();
        first.map_or(Poll::Pending, |first| {
            Poll::Ready(Some(Ok(Frame::data(first))))
        })
    }
}

async fn read_all(
    body: impl Body<Data = Bytes, Error = Infallible>,
    limit: usize,
) -> Result<Bytes, ReadBodyError> {
    let peer = MessageMemory::new(&Limits::default()).peer();
    let memory = CallMemory::new(&peer, false);
    read_counted(body, limit, &mut memory.reserve()).await
}

async fn read_counted(
    body: impl Body<Data = Bytes, Error = Infallible>,
    limit: usize,
    memory: &mut Reservation<'_>,
) -> Result<Bytes, ReadBodyError> {
    let (head, ()) = http::Request::new(()).into_parts();
    let wait = BodyWait {
        head: &head,
        memory: memory.of_call(),
        deadline: Instant::now() + Duration::from_secs(2),
        stopping: &CancellationToken::new(),
    };
    read(&mut pin!(body), limit, wait, memory).await
}

#[tokio::test]
async fn a_body_is_counted_while_it_waits() {
    let limits = Limits {
        message_bytes: 1,
        buffered_bytes: 16 << 10,
        ..Limits::default()
    };
    let peer = MessageMemory::new(&limits).peer();
    let memory = CallMemory::new(&peer, false);
    let mut reservation = memory.reserve();
    let mut waiting = Box::pin(read_counted(Silent(None), 10, &mut reservation));
    assert!(poll_once(waiting.as_mut()).await.is_pending());
    assert!(!peer.is_unused());
    let refused = read_counted(Silent(None), 10, &mut memory.reserve()).await;
    assert!(
        matches!(refused, Err(ReadBodyError::NoMemory(_))),
        "{refused:?}"
    );
    // What is there is not counted.
    let whole = read_counted(Full::new("{}".into()), 10, &mut memory.reserve()).await;
    assert_eq!(whole.unwrap(), "{}");
    drop(waiting);
    assert!(peer.is_unused());
}

#[tokio::test]
async fn a_body_that_waits_keeps_no_buffer() {
    for size in [1, 10_000] {
        let buffer = std::sync::Arc::new(vec![0; 1 << 20]);
        let first = Bytes::from_owner(SharedBuffer(buffer.clone())).split_to(size);
        let mut waiting = Box::pin(read_all(Silent(Some(first)), 1 << 20));
        assert!(poll_once(waiting.as_mut()).await.is_pending());
        assert_eq!(std::sync::Arc::strong_count(&buffer), 1);
    }
}

struct SharedBuffer(std::sync::Arc<Vec<u8>>);

impl AsRef<[u8]> for SharedBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[tokio::test]
async fn a_body_is_counted_by_the_memory_that_it_takes() {
    const FRAME: &[u8] = &[b'x'; 10_000];
    let memory = |bytes| {
        let limits = Limits {
            message_bytes: 1,
            buffered_bytes: 8 * bytes,
            ..Limits::default()
        };
        MessageMemory::new(&limits).peer()
    };
    // The capacity doubles up to the limit of a message.
    for (count, limit, most) in [
        (1, 100_000, 10_000),
        (5, 100_000, 80_000),
        (5, 60_000, 60_000),
    ] {
        let peer = memory(most);
        let mut memory = CallMemory::new(&peer, false).reserve();
        let body = frames(&vec![FRAME; count]);
        let read = read_counted(body, limit, &mut memory).await.unwrap();
        assert_eq!((read.len(), memory.bytes()), (count * 10_000, most));
    }
    let peer = memory(79_999);
    let mut memory = CallMemory::new(&peer, false).reserve();
    let read = read_counted(frames(&[FRAME; 5]), 100_000, &mut memory).await;
    assert!(matches!(read, Err(ReadBodyError::NoMemory(_))), "{read:?}");
    assert_eq!(memory.bytes(), 40_000);
}

#[tokio::test]
async fn a_body_in_one_frame_is_not_copied() {
    let message = Bytes::from_static(b"{\"n\": 3}");
    let read = read_all(Full::new(message.clone()), 100).await.unwrap();
    assert_eq!(read.as_ptr(), message.as_ptr());
    let read = read_all(frames(&[b"one frame"]), 100).await.unwrap();
    assert_eq!(read, "one frame");
}

#[tokio::test]
async fn many_frames_are_one_message_up_to_the_limit() {
    assert_eq!(
        read_all(frames(&[b"ab", b"cd", b"ef"]), 6).await.unwrap(),
        "abcdef"
    );
    assert_eq!(read_all(frames(&[]), 6).await.unwrap(), "");
    for too_large in [frames(&[b"abcdefg"]), frames(&[b"ab", b"cd", b"efg"])] {
        assert!(matches!(
            read_all(too_large, 6).await,
            Err(ReadBodyError::TooLarge)
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_body_and_a_declared_length_are_rejected() {
    assert!(matches!(
        read_all(Silent(None), 6).await,
        Err(ReadBodyError::Late)
    ));
    let start = Instant::now();
    assert!(matches!(
        read_all(Full::new("1234567".into()), 6).await,
        Err(ReadBodyError::TooLarge)
    ));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_discarded_body_is_read_up_to_the_limits() {
    assert!(discard(&mut pin!(frames(&[b"ab", b"cd"])), 4).await);
    assert!(!discard(&mut pin!(frames(&[b"ab", b"cd"])), 3).await);
    let large = || Full::new(Bytes::from(vec![0; 1 << 20]));
    assert!(discard(&mut pin!(large()), 1 << 20).await);
    assert!(!discard(&mut pin!(large()), (1 << 20) - 1).await);
    let start = Instant::now();
    assert!(!discard(&mut pin!(Silent(None)), usize::MAX).await);
    assert_eq!(start.elapsed(), DISCARD_TIME);
}

#[test]
fn a_response_body_holds_its_guards_until_dropped() {
    let guard = std::sync::Arc::new(());
    let mut body = crate::middleware::Body::message("{}");
    body.hold(guard.clone());
    let (_, guards) = body.into_parts();
    let body = ResponseBody::message(Bytes::from_static(b"{}"), guards);
    assert_eq!(body.size_hint().exact(), Some(2));
    assert!(!body.is_end_stream());
    assert_eq!(std::sync::Arc::strong_count(&guard), 2);
    drop(body);
    assert_eq!(std::sync::Arc::strong_count(&guard), 1);
}
