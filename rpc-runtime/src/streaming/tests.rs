use std::task::Waker;

use super::*;
use crate::Code;

async fn collect<T, E>(mut stream: Streaming<T, E>) -> (Vec<T>, Option<E>) {
    let mut messages = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, None),
            Err(error) => {
                // An error ends the stream.
                assert!(matches!(stream.message().await, Ok(None)));
                return (messages, Some(error));
            }
        }
    }
}

fn failure() -> Error {
    Error::new(Code::DataLoss, "torn")
}

#[tokio::test]
async fn a_stream_ends_after_its_messages_or_an_error() {
    let (messages, error) = collect((0..3).collect::<Streaming<_>>()).await;
    assert_eq!((messages, error.is_none()), (vec![0, 1, 2], true));
    let (messages, error) = collect(Streaming::<u8>::empty()).await;
    assert!(messages.is_empty() && error.is_none());
    let failing = futures_util::stream::iter([Ok(1), Err(failure()), Ok(2)]);
    let (messages, error) = collect(Streaming::new(failing)).await;
    assert_eq!(messages, [1]);
    assert_eq!(error.unwrap().code(), Code::DataLoss);
}

#[tokio::test]
async fn a_producer_ends_its_stream() {
    let (messages, error) = collect(Streaming::<_, Error>::with_sender(async |sender| {
        for number in 0..5 {
            sender.send(number).await?;
        }
        Ok(())
    }))
    .await;
    assert_eq!((messages, error.is_none()), (vec![0, 1, 2, 3, 4], true));
    // Its error comes after its messages, also if it has finished the stream.
    for finishes in [false, true] {
        let produced = Streaming::<_, Error>::with_sender(async move |sender| {
            sender.send(1).await?;
            if finishes {
                sender.finish();
            }
            Err(failure())
        });
        let (messages, error) = collect(produced).await;
        assert_eq!(messages, [1], "{finishes}");
        assert_eq!(error.unwrap().code(), Code::DataLoss, "{finishes}");
    }
    let produced = Streaming::<u8, Error>::with_sender(async |sender| {
        sender.fail(failure());
        Ok(())
    });
    assert_eq!(collect(produced).await.1.unwrap().code(), Code::DataLoss);
}

#[tokio::test]
async fn a_producer_waits_for_its_reader() {
    let (written, sent) = (
        std::sync::Arc::default(),
        std::sync::atomic::Ordering::SeqCst,
    );
    let counter: std::sync::Arc<std::sync::atomic::AtomicU32> = std::sync::Arc::clone(&written);
    let mut stream = Streaming::<u32, Error>::with_sender(async move |sender| {
        loop {
            sender.send(1).await?;
            counter.fetch_add(1, sent);
        }
    });
    for read in 1..10 {
        assert_eq!(stream.message().await.unwrap(), Some(1));
        let written = written.load(sent);
        assert!(written <= read + 2, "{written} written, {read} read");
    }
}

#[tokio::test]
async fn a_dropped_sender_is_no_end() {
    let (sender, stream) = Streaming::<u8, Error>::channel(0);
    sender.send(7).await.unwrap();
    drop(sender);
    let (messages, error) = collect(stream).await;
    assert_eq!(messages, [7]);
    assert_eq!(error.unwrap().code(), Code::Aborted);

    let (sender, stream) = Streaming::<u8, Error>::channel(4);
    sender.send(7).await.unwrap();
    sender.finish();
    let (messages, error) = collect(stream).await;
    assert_eq!((messages, error.is_none()), (vec![7], true));

    let (sender, stream) = Streaming::<u8, Error>::channel(4);
    sender.fail(failure());
    assert_eq!(collect(stream).await.1.unwrap().code(), Code::DataLoss);
}

#[tokio::test]
async fn a_sender_learns_that_its_stream_was_dropped() {
    let (sender, stream) = Streaming::<u8, Error>::channel(1);
    drop(stream);
    assert_eq!(sender.send(1).await, Err(StreamClosed));
    sender.closed().await;
    let error: Error = (|| -> Result<(), Error> { Err(StreamClosed)? })().unwrap_err();
    assert_eq!(error.code(), Code::Canceled);
}

#[tokio::test]
async fn mapped_messages_keep_the_trailers() {
    struct WithTrailers;
    impl MessageSource<u8, Error> for WithTrailers {
        fn poll_message(
            self: Pin<&mut Self>,
            _cx: &mut task::Context<'_>,
        ) -> Poll<Option<Result<u8, Error>>> {
            Poll::Ready(None)
        }

        fn take_trailers(self: Pin<&mut Self>) -> Metadata {
            let mut trailers = Metadata::new();
            trailers.append("x-rows", "3").unwrap();
            trailers
        }
    }
    let mut stream = Streaming::from_source(WithTrailers).map_messages(|message| message);
    assert!(stream.trailers().is_empty());
    assert_eq!(stream.message().await.unwrap(), None);
    assert_eq!(stream.trailers().get("x-rows"), Some("3"));
    let mut cx = task::Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut stream).poll_next(&mut cx).is_ready());
}
