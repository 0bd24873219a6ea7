//! Streams of the three kinds, on every transport.

mod basics;
mod limits;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rpc_runtime::prelude::*;
use rpc_runtime::{Client, Server};
use rpc_tests::Running;
use serde::{Deserialize, Serialize};

/// A line of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) from: String,
    pub(super) text: String,
}

#[derive(Debug, PartialEq, RpcError)]
pub(super) enum CountError {
    #[rpc(code = "out_of_range")]
    TooFar { limit: u64 },
    #[rpc(other)]
    Other(Error),
}

#[rpc_service(package = "test.v1")]
pub(super) trait Streams {
    /// Returns the numbers up to `end`, or an error before the first one above 1000.
    async fn count(&self, end: u64) -> Result<Streaming<u64>, CountError>;

    /// Counts without end, and fails after `good` numbers.
    async fn fail_after(&self, good: u64, how: &str) -> Result<Streaming<u64, CountError>>;

    /// Returns the sum of the numbers.
    async fn sum(&self, numbers: Streaming<u64>) -> Result<u64>;

    /// Returns each line, in upper case, as soon as it is there.
    async fn shout(&self, lines: Streaming<Line>) -> Result<Streaming<Line>>;
}

/// Guards that count the handlers that are there.
#[derive(Clone, Default)]
pub(super) struct Alive(pub(super) Arc<AtomicU64>);

impl Alive {
    pub(super) fn enter(&self) -> AliveGuard {
        self.0.fetch_add(1, Ordering::SeqCst);
        AliveGuard(self.0.clone())
    }

    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub(super) struct AliveGuard(Arc<AtomicU64>);

impl Drop for AliveGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Clone, Default)]
pub(super) struct Service {
    pub(super) alive: Alive,
}

impl Streams for Service {
    async fn count(&self, end: u64) -> Result<Streaming<u64>, CountError> {
        if end > 1000 {
            return Err(CountError::TooFar { limit: 1000 });
        }
        let context = Context::current();
        context.response().header("x-end", end.to_string())?;
        let guard = self.alive.enter();
        Ok(Streaming::with_sender(async move |sender| {
            let _guard = guard;
            for number in 0..end {
                sender.send(number).await?;
            }
            // In the context of the call, as the handler.
            Context::current()
                .response()
                .trailer("x-sent", end.to_string())?;
            Ok(())
        }))
    }

    async fn fail_after(&self, good: u64, how: &str) -> Result<Streaming<u64, CountError>> {
        let (guard, how) = (self.alive.enter(), how.to_owned());
        Ok(Streaming::with_sender(async move |sender| {
            let _guard = guard;
            for number in 0..good {
                if sender.send(number).await.is_err() {
                    return Ok(());
                }
            }
            match &*how {
                "typed" => Err(CountError::TooFar { limit: good }),
                "panic" => panic!("the producer panics"),
                "wait" => std::future::pending().await,
                _ => Err(Error::new(Code::DataLoss, "torn").into()),
            }
        }))
    }

    async fn sum(&self, mut numbers: Streaming<u64>) -> Result<u64> {
        let _guard = self.alive.enter();
        let mut sum = 0;
        while let Some(number) = numbers.message().await? {
            sum += number;
        }
        Ok(sum)
    }

    async fn shout(&self, mut lines: Streaming<Line>) -> Result<Streaming<Line>> {
        let guard = self.alive.enter();
        Ok(Streaming::with_sender(async move |sender| {
            let _guard = guard;
            while let Some(line) = lines.message().await? {
                let text = line.text.to_uppercase();
                sender.send(Line { text, ..line }).await?;
            }
            Ok(())
        }))
    }
}

/// A client on each transport, with the server that it calls.
pub(super) struct Transports {
    pub(super) service: Service,
    pub(super) clients: Vec<(&'static str, StreamsClient)>,
    server: Running,
}

impl Transports {
    pub(super) async fn start() -> Self {
        let service = Service::default();
        let server = || Server::new("streams").add(StreamsServer::new(service.clone()));
        let running = Running::start(server()).await;
        let client = || Client::new(&running.url()).unwrap();
        let local = server().into_local_client().unwrap();
        let clients = [
            ("http1", client()),
            ("http2", client().http2()),
            ("local", local),
        ];
        let clients = clients.map(|(name, client)| (name, StreamsClient::with_client(client)));
        Self {
            service,
            clients: clients.into(),
            server: running,
        }
    }

    pub(super) async fn stop(self) {
        drop(self.clients);
        self.server.stop().await;
    }
}

/// Reads a stream to its end.
pub(super) async fn read<T, E>(mut stream: Streaming<T, E>) -> (Vec<T>, Option<E>) {
    let mut messages = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, None),
            Err(error) => return (messages, Some(error)),
        }
    }
}
