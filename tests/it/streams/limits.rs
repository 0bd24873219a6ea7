use std::time::Duration;

use rpc_runtime::prelude::*;
use rpc_runtime::{Client, Limits, Server};
use rpc_tests::Running;
use rpc_tests::wait::{until, within};

use super::{Line, Service, StreamsClient, StreamsServer, Transports, read};

fn local(limits: Limits, client: impl FnOnce(Client) -> Client) -> (Service, StreamsClient) {
    let service = Service::default();
    let server = Server::new("streams").limits(limits);
    let server = server.add(StreamsServer::new(service.clone()));
    let all = client(server.into_local_client().unwrap());
    (service, StreamsClient::with_client(all))
}

#[tokio::test(start_paused = true)]
async fn a_stream_has_no_deadline_and_an_idle_limit() {
    for (of_server, of_client) in [(300, 360), (30_000, 360)] {
        let mut limits = Limits::default();
        limits.stream_idle_timeout = Duration::from_secs(of_server);
        let (service, client) = local(limits, |client| {
            client.stream_idle_timeout(Duration::from_secs(of_client))
        });
        let started = tokio::time::Instant::now();
        let (numbers, error) = read(client.fail_after(2, "wait").await.unwrap()).await;
        let waited = started.elapsed().as_secs();
        assert_eq!(numbers.len(), 2);
        let error = error.unwrap();
        assert_eq!(RpcError::code(&error), Code::DeadlineExceeded, "{error:?}");
        // Longer than the deadline of any other call.
        let expected = of_server.min(of_client);
        assert!((expected..=expected + 1).contains(&waited), "{waited}");
        until(async || service.alive.count() == 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn messages_of_either_side_keep_a_stream_open() {
    let (_, client) = local(Limits::default(), |client| client);
    let (sender, lines) = Streaming::channel(1);
    let mut echo = client.shout(lines).await.unwrap();
    for index in 0..5 {
        tokio::time::sleep(Duration::from_secs(200)).await;
        let line = Line {
            from: "Ada".to_owned(),
            text: index.to_string(),
        };
        sender.send(line).await.unwrap();
        assert!(echo.message().await.unwrap().is_some());
    }
    sender.finish();
    assert_eq!(echo.message().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_that_of_the_whole_stream() {
    let (service, client) = local(Limits::default(), |client| client);
    let call = client.fail_after(2, "wait").timeout(Duration::from_secs(7));
    let started = tokio::time::Instant::now();
    let (numbers, error) = read(call.await.unwrap()).await;
    assert_eq!(numbers.len(), 2);
    let error = error.unwrap();
    assert_eq!(RpcError::code(&error), Code::DeadlineExceeded, "{error:?}");
    assert!((6..=7).contains(&started.elapsed().as_secs()));
    until(async || service.alive.count() == 0).await;
}

#[tokio::test]
async fn a_handle_cancels_a_stream() {
    let all = Transports::start().await;
    for (name, client) in &all.clients {
        let (call, handle) = client.fail_after(1, "wait").with_handle();
        let mut numbers = within(call).await.unwrap();
        assert_eq!(within(numbers.message()).await.unwrap(), Some(0), "{name}");
        handle.cancel();
        let error = within(numbers.message()).await.unwrap_err();
        assert_eq!(RpcError::code(&error), Code::Canceled, "{name}: {error:?}");
        until(async || all.service.alive.count() == 0).await;
    }
    all.stop().await;
}

#[tokio::test]
async fn a_stopping_server_ends_its_streams() {
    for http2 in [false, true] {
        let service = Service::default();
        let mut limits = Limits::default();
        limits.stream_drain_timeout = Duration::ZERO;
        let server = Server::new("streams").limits(limits);
        let server = server.add(StreamsServer::new(service.clone()));
        let running = Running::start(server).await;
        let client = Client::new(&running.url()).unwrap();
        let client = if http2 { client.http2() } else { client };
        let client = StreamsClient::with_client(client);
        let mut numbers = within(client.fail_after(1, "wait")).await.unwrap();
        assert_eq!(within(numbers.message()).await.unwrap(), Some(0));
        let (sender, lines) = Streaming::channel(1);
        let mut echo = within(client.shout(lines)).await.unwrap();
        let (_, error, unanswered) = tokio::join!(
            running.stop(),
            within(numbers.message()),
            within(echo.message())
        );
        let error = RpcError::into_error(error.unwrap_err());
        for error in [error, unanswered.unwrap_err()] {
            assert_eq!(error.code(), Code::Unavailable, "{http2}: {error:?}");
            assert!(error.retry_after().is_some(), "{http2}: {error:?}");
        }
        assert_eq!(service.alive.count(), 0);
        drop(sender);
    }
}

#[tokio::test]
async fn a_reader_that_waits_holds_the_writer_back() {
    // The producer counts without end, so only the reader limits it.
    let all = Transports::start().await;
    for (name, client) in &all.clients {
        let mut numbers = within(client.fail_after(u64::MAX, "wait")).await.unwrap();
        for expected in 0..1000 {
            assert_eq!(
                within(numbers.message()).await.unwrap(),
                Some(expected),
                "{name}"
            );
        }
        drop(numbers);
        until(async || all.service.alive.count() == 0).await;
    }
    all.stop().await;
}

#[tokio::test]
async fn a_stop_ends_a_stream_that_always_has_a_message() {
    for http2 in [false, true] {
        let service = Service::default();
        let mut limits = Limits::default();
        limits.stream_drain_timeout = Duration::ZERO;
        let server = Server::new("streams").limits(limits);
        let server = server.add(StreamsServer::new(service.clone()));
        let running = Running::start(server).await;
        let client = Client::new(&running.url()).unwrap();
        let client = if http2 { client.http2() } else { client };
        let client = StreamsClient::with_client(client);
        let mut numbers = within(client.fail_after(u64::MAX, "wait")).await.unwrap();
        assert_eq!(within(numbers.message()).await.unwrap(), Some(0));
        let ((), (_, error)) = tokio::join!(within(running.stop()), within(read(numbers)));
        let error = RpcError::into_error(error.unwrap());
        assert_eq!(error.code(), Code::Unavailable, "{http2}: {error:?}");
        assert_eq!(service.alive.count(), 0);
    }
}
