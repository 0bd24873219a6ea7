use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rpc_runtime::prelude::*;
use rpc_tests::wait::{until, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::{Hostile, Peer, VictimClient, fine};

#[tokio::test]
async fn bytes_after_a_response_are_not_another_response() {
    // Each connection receives a distinct response with a forged one after it.
    let hostile = Hostile::start(|mut peer| async move {
        while peer.request().await {
            let own = fine(u32::try_from(peer.number).unwrap());
            let both = [own, fine(666)].concat();
            if !peer.send(both).await {
                return;
            }
        }
    })
    .await;
    let client = hostile.client();
    for number in 0..5 {
        assert_eq!(client.add().await.unwrap(), number);
    }
}

#[tokio::test]
async fn a_close_while_sending_repeats_safe_calls_only() {
    // Responds once on a connection, reads the next request, and closes.
    async fn once(mut peer: Peer) {
        if peer.request().await && peer.send(fine(1)).await {
            peer.request().await;
        }
    }
    let hostile = Hostile::start(once).await;
    let client = hostile.client();
    assert_eq!(client.add().await.unwrap(), 1);
    let error = client.add().await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error:#}");
    assert!(
        error.message().contains("may have been executed"),
        "{error:#}"
    );
    assert_eq!(hostile.requests(), 2, "sent once");
    assert_eq!(client.put().await.unwrap(), 1);
    assert_eq!(
        client.put().await.unwrap(),
        1,
        "tried again on a connection of its own"
    );
    assert_eq!(hostile.requests(), 5);
}

#[tokio::test]
async fn a_stale_pooled_connection_causes_no_error() {
    let closed = Arc::new(AtomicUsize::new(0));
    let count = closed.clone();
    let hostile = Hostile::start(move |mut peer| {
        let count = count.clone();
        async move {
            peer.request().await;
            peer.send(fine(1)).await;
            peer.stream.shutdown().await.unwrap();
            // The client has noticed the close when it closes its side.
            peer.wait().await;
            count.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let client = hostile.client();
    for calls in 1..=20 {
        assert_eq!(client.add().await.unwrap(), 1);
        while closed.load(Ordering::SeqCst) < calls {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(hostile.requests(), 20);
    assert_eq!(hostile.connections.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn a_silent_server_costs_the_deadline() {
    let hostile = Hostile::start(|mut peer| async move { peer.wait().await }).await;
    let call = hostile.client().put().timeout(Duration::from_millis(200));
    assert_eq!(call.await.unwrap_err().code(), Code::DeadlineExceeded);
}

/// Returns whether a connection to this port is being opened.
#[cfg(target_os = "linux")]
fn is_connecting(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{port:04X}");
    table.lines().any(|line| {
        // Its number, the local and the remote address, and the state.
        let fields: Vec<_> = line.split_whitespace().take(4).collect();
        matches!(*fields, [_, _, remote, "02"] if remote.ends_with(&port))
    })
}

/// The queue of the listener is full, so that the system drops the first packet of the connection,
/// and repeats it after a second.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_deadline_is_written_after_connecting() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    loop {
        tokio::select! {
            stream = TcpStream::connect(address) => queued.push(stream.unwrap()),
            () = until(async || is_connecting(address.port())) => break,
        }
    }
    let client = VictimClient::connect(&format!("http://{address}")).unwrap();
    let timeout = Duration::from_secs(40);
    let call = tokio::spawn(async move { client.add().timeout(timeout).no_retry().await });
    until(async || is_connecting(address.port())).await;
    for _ in queued {
        listener.accept().await.unwrap();
    }
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n{}") {
        assert_ne!(within(stream.read_buf(&mut bytes)).await.unwrap(), 0);
    }
    let head = String::from_utf8(bytes).unwrap();
    let left = head.split("connect-timeout-ms: ").nth(1).unwrap();
    let left: u64 = left.split("\r\n").next().unwrap().parse().unwrap();
    assert!(left < 39_500, "{left}");
    let response = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{\"result\":7}";
    stream.write_all(response.as_bytes()).await.unwrap();
    assert_eq!(call.await.unwrap().unwrap(), 7);
}
