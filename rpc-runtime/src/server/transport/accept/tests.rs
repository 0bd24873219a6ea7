use std::collections::VecDeque;
use std::io::{ErrorKind, Result};
use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;
use crate::Trust;
use crate::server::inner::ServerConfig;
use crate::server::limits::Limits;

/// A listener that yields these connections and errors, and then stays pending.
struct Scripted(Mutex<VecDeque<Result<DuplexStream>>>);

impl Accept for Scripted {
    type Io = DuplexStream;

    async fn accept(&mut self) -> Result<(DuplexStream, ConnectionPeer)> {
        let next = self.0.lock().unwrap().pop_front();
        match next {
            Some(result) => {
                let address = ([127, 0, 0, 1], 1).into();
                Ok((result?, ConnectionPeer::tcp(address, address)))
            }
            None => std::future::pending().await,
        }
    }
}

fn inner(change: impl FnOnce(&mut Limits)) -> Arc<ServerInner> {
    let mut limits = Limits::default();
    change(&mut limits);
    let config = ServerConfig {
        limits,
        observers: Vec::new(),
        ..ServerConfig::new("wire".to_owned())
    };
    ServerInner::new(config, "wire@prod/1".parse().unwrap()).unwrap()
}

struct Server {
    stop: watch::Sender<Phase>,
    task: tokio::task::JoinHandle<()>,
}

fn serve(script: Vec<Result<DuplexStream>>, inner: &Arc<ServerInner>) -> Server {
    let (stop, stopped) = watch::channel(Phase::Serving);
    let listener = Scripted(Mutex::new(script.into()));
    let settings = Arc::new(ListenerSettings::new(Trust::Internal, None, false, None));
    let task = tokio::spawn(accept(listener, inner.clone(), settings, stopped));
    Server { stop, task }
}

async fn ask(client: &mut DuplexStream) -> String {
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut response = vec![0; 12];
    client.read_exact(&mut response).await.unwrap();
    String::from_utf8(response).unwrap()
}

/// Returns EMFILE (24): the process has no file descriptors left.
fn out_of_files() -> Result<DuplexStream> {
    Err(Error::from_raw_os_error(24))
}

#[tokio::test(start_paused = true)]
async fn the_accept_loop_backs_off_and_recovers() {
    let (mut client, io) = duplex(4096);
    let script = (0..10).map(|_| out_of_files()).chain([Ok(io)]).collect();
    let start = Instant::now();
    let server = serve(script, &inner(|_| ()));
    assert_eq!(ask(&mut client).await, "HTTP/1.1 404");
    // 5 ms doubled seven times, then 1 s each.
    let pauses: u64 = (0..8).map(|n| 5 << n).sum::<u64>() + 2 * 1000;
    assert_eq!(start.elapsed().as_millis(), u128::from(pauses));
    assert!(!server.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_connection_reset_before_accept_costs_no_pause() {
    let (mut client, io) = duplex(4096);
    let gone = |kind| Err(Error::from(kind));
    let script = vec![
        gone(ErrorKind::ConnectionAborted),
        gone(ErrorKind::ConnectionReset),
        Ok(io),
    ];
    let start = Instant::now();
    let server = serve(script, &inner(|_| ()));
    assert_eq!(ask(&mut client).await, "HTTP/1.1 404");
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(!server.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_failing_listener_stops_at_shutdown() {
    let server = serve((0..1000).map(|_| out_of_files()).collect(), &inner(|_| ()));
    sleep(Duration::from_secs(10)).await;
    server.stop.send(Phase::Closing).unwrap();
    let start = Instant::now();
    server.task.await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_limit_counts_connections_of_all_listeners() {
    let inner = inner(|limits| limits.connections = 1);
    let (mut first, first_io) = duplex(4096);
    let (mut second, second_io) = duplex(4096);
    let _one = serve(vec![Ok(first_io)], &inner);
    assert_eq!(ask(&mut first).await, "HTTP/1.1 404");
    let _other = serve(vec![Ok(second_io)], &inner);
    let waiting = timeout(Duration::from_secs(5), ask(&mut second)).await;
    assert!(
        waiting.is_err(),
        "the first connection holds the only permit"
    );
    drop(first);
    let mut response = vec![0; 12];
    second.read_exact(&mut response).await.unwrap();
    assert_eq!(response, b"HTTP/1.1 404");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_handle_stops_the_server() {
    let server = serve(Vec::new(), &inner(|_| ()));
    drop(server.stop);
    server.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_waits_at_the_stop_is_refused() {
    let inner = inner(|limits| limits.connections = 1);
    let (mut first, first_io) = duplex(4096);
    let (mut second, second_io) = duplex(4096);
    let server = serve(vec![Ok(first_io), Ok(second_io)], &inner);
    assert_eq!(ask(&mut first).await, "HTTP/1.1 404");
    second.write_all(b"POST /a.B/C HTTP/1.1\r\n").await.unwrap();
    // The loop has accepted it, and waits for a permit.
    sleep(Duration::from_secs(1)).await;
    server.stop.send(Phase::Closing).unwrap();
    let mut response = String::new();
    second.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert!(
        response.contains("x-rpc-outcome: not-executed\r\n"),
        "{response}"
    );
    drop(second);
    server.task.await.unwrap();
}
