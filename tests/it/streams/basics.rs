use rpc_runtime::Streaming;
use rpc_runtime::prelude::*;
use rpc_tests::wait::{until, within};

use super::{CountError, Line, Transports, read};

#[tokio::test]
async fn a_response_stream_arrives_in_order() {
    let all = Transports::start().await;
    for (name, client) in &all.clients {
        for end in [0, 1, 500] {
            let mut reply = within(client.count(end).with_response()).await.unwrap();
            assert_eq!(
                reply.headers.get("x-end"),
                Some(&*end.to_string()),
                "{name}"
            );
            let mut numbers = Vec::new();
            while let Some(number) = within(reply.value.message()).await.unwrap() {
                numbers.push(number);
            }
            assert_eq!(numbers, (0..end).collect::<Vec<_>>(), "{name}");
            let sent = reply.value.trailers().get("x-sent").map(str::to_owned);
            assert_eq!(sent, Some(end.to_string()), "{name}");
        }
    }
    all.stop().await;
}

#[tokio::test]
async fn a_failure_before_the_stream_is_that_of_the_call() {
    let all = Transports::start().await;
    for (name, client) in &all.clients {
        let error = within(client.count(1001)).await.unwrap_err();
        assert_eq!(*error, CountError::TooFar { limit: 1000 }, "{name}");
        assert_eq!(error.hops().len(), 1, "{name}: {error:?}");
    }
    all.stop().await;
}

#[tokio::test]
async fn a_failure_within_a_stream_is_its_end() {
    let all = Transports::start().await;
    for (name, client) in &all.clients {
        for good in [0, 3] {
            let of = |how| client.fail_after(good, how);
            let (numbers, error) = within(read(of("typed").await.unwrap())).await;
            assert_eq!(numbers.len() as u64, good, "{name}");
            assert_eq!(error, Some(CountError::TooFar { limit: good }), "{name}");
            for (how, code) in [("panic", Code::Internal), ("torn", Code::DataLoss)] {
                let (numbers, error) = within(read(of(how).await.unwrap())).await;
                assert_eq!(numbers.len() as u64, good, "{name} {how}");
                let error = error.unwrap();
                assert_eq!(RpcError::code(&error), code, "{name} {how}: {error:?}");
                assert!(
                    !format!("{error:?}").contains("producer"),
                    "{name} {how}: {error:?}"
                );
            }
        }
    }
    until(async || all.service.alive.count() == 0).await;
    all.stop().await;
}

#[tokio::test]
async fn a_request_stream_is_read_to_its_end() {
    let all = Transports::start().await;
    for (name, client) in &all.clients {
        for end in [0, 1, 500] {
            let numbers = (0..end).collect::<Streaming<u64>>();
            let sum = within(client.sum(numbers)).await.unwrap();
            assert_eq!(sum, (0..end).sum::<u64>(), "{name}");
        }
    }
    all.stop().await;
}

#[tokio::test]
async fn a_request_stream_that_fails_fails_its_call() {
    let all = Transports::start().await;
    for (name, client) in &all.clients {
        let numbers = futures_util::stream::iter([Ok(1), Err(Error::new(Code::DataLoss, "torn"))]);
        let error = within(client.sum(Streaming::new(numbers)))
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::DataLoss, "{name}: {error:?}");
        let (sender, numbers) = Streaming::channel(1);
        drop(sender);
        let error = within(client.sum(numbers)).await.unwrap_err();
        assert_eq!(error.code(), Code::Aborted, "{name}: {error:?}");
        until(async || all.service.alive.count() == 0).await;
    }
    all.stop().await;
}

#[tokio::test]
async fn two_streams_take_turns() {
    let all = Transports::start().await;
    for (name, client) in &all.clients {
        let (sender, lines) = Streaming::channel(1);
        let line = |text: &str| Line {
            from: "Ada".to_owned(),
            text: text.to_owned(),
        };
        let mut echo = within(client.shout(lines)).await.unwrap();
        for text in ["one", "two", "three"] {
            sender.send(line(text)).await.unwrap();
            let heard = within(echo.message()).await.unwrap().unwrap();
            assert_eq!(heard, line(&text.to_uppercase()), "{name}");
        }
        sender.finish();
        assert_eq!(within(echo.message()).await.unwrap(), None, "{name}");
    }
    all.stop().await;
}

#[tokio::test]
async fn a_dropped_stream_ends_its_handler() {
    let all = Transports::start().await;
    for (name, client) in &all.clients {
        let mut numbers = within(client.fail_after(3, "wait")).await.unwrap();
        assert_eq!(within(numbers.message()).await.unwrap(), Some(0));
        assert_eq!(all.service.alive.count(), 1, "{name}");
        drop(numbers);
        until(async || all.service.alive.count() == 0).await;
    }
    all.stop().await;
}
