//! TCP proxy that injects network faults.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// Buffer of a read, in bytes.
const CHUNK: usize = 16 << 10;

/// A fault that a [`Proxy`] applies to all its connections, open and new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum NetworkFault {
    /// Forwards all bytes.
    #[default]
    None,
    /// Delays each chunk of a response.
    Delay(Duration),
    /// Forwards responses in small chunks with a delay before each.
    Throttle {
        /// Size of a chunk, in bytes; 0 counts as 1.
        bytes: usize,
        /// Delay before each chunk.
        every: Duration,
    },
    /// Forwards requests and resets the connection after `after` bytes of responses; with 0 before
    /// the first byte.
    CutResponses {
        /// Bytes of responses to forward on a connection.
        after: usize,
    },
    /// Forwards responses and closes the connection after `after` bytes of requests.
    CutRequests {
        /// Bytes of requests to forward on a connection.
        after: usize,
    },
    /// Accepts connections and forwards nothing, like a stopped process.
    BlackHole,
}

/// A TCP proxy on a free local port, in front of one server. Dropping it closes its connections.
///
/// ```
/// use std::time::Duration;
/// use rpc_runtime::testing::{Proxy, NetworkFault};
///
/// # async fn example(server: std::net::SocketAddr) -> std::io::Result<()> {
/// let mut proxy = Proxy::start(server).await?;
/// let url = proxy.url(); // for the client
/// proxy.set(NetworkFault::Delay(Duration::from_millis(100)));
/// proxy.refuse().await; // connections are refused
/// proxy.accept().await?; // and accepted again, on the same port
/// # drop(url);
/// # Ok(())
/// # }
/// ```
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<ProxyState>,
    /// The accept task, which owns the connections; `None` while connections are refused.
    accepting: Option<JoinHandle<()>>,
}

struct ProxyState {
    upstream: SocketAddr,
    fault: watch::Sender<NetworkFault>,
    connections: AtomicUsize,
}

impl Proxy {
    /// Starts a proxy in front of the server at `upstream`, which may start later.
    ///
    /// # Errors
    ///
    /// The I/O error if no port can be bound.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(ProxyState {
            upstream,
            fault: watch::Sender::new(NetworkFault::None),
            connections: AtomicUsize::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            accepting: Some(accepting),
        })
    }

    /// Returns the address of the proxy.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL of the proxy, for a client.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the number of accepted connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Sets the fault for all connections, including open ones.
    pub fn set(&self, fault: NetworkFault) {
        self.shared.fault.send_replace(fault);
    }

    /// Closes all connections and refuses new ones, like a killed server.
    pub async fn refuse(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // The kernel refuses connections once the task has ended. The error is that it was
            // aborted.
            let _ = accepting.await;
        }
    }

    /// Accepts connections again, on the same port.
    ///
    /// # Errors
    ///
    /// The I/O error if another process has bound the port meanwhile.
    pub async fn accept(&mut self) -> io::Result<()> {
        if self.accepting.is_none() {
            let listener = TcpListener::bind(self.address).await?;
            self.accepting = Some(tokio::spawn(accept(listener, Arc::clone(&self.shared))));
        }
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("address", &self.address)
            .field("upstream", &self.shared.upstream)
            .field("fault", &*self.shared.fault.borrow())
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

/// Accepts connections until it is aborted, which also closes them.
async fn accept(listener: TcpListener, shared: Arc<ProxyState>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    connections.spawn(serve_connection(client, Arc::clone(&shared)));
                }
                Err(error) => {
                    tracing::warn!(target: "rpc", %error, "the test proxy failed to accept a connection");
                    // Usually out of file descriptors, until other connections close.
                    sleep(Duration::from_millis(10)).await;
                }
            },
            // Removes finished connections, so that long tests do not accumulate them.
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection.
async fn serve_connection(client: TcpStream, shared: Arc<ProxyState>) {
    let mut fault = shared.fault.subscribe();
    // A black hole does not connect to the server.
    if fault
        .wait_for(|fault| *fault != NetworkFault::BlackHole)
        .await
        .is_err()
    {
        return;
    }
    // If the server cannot be reached, the connection is closed at once.
    let Ok(server) = TcpStream::connect(shared.upstream).await else {
        return;
    };
    if client
        .set_nodelay(true)
        .and(server.set_nodelay(true))
        .is_err()
    {
        return;
    }
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let requests = forward_requests(&mut from_client, &mut to_server, fault.clone());
    let responses = async {
        let mut responses = ResponseForwarder {
            from: from_server,
            to: to_client,
            fault,
            passed: 0,
        };
        let end = responses.forward().await;
        (end, responses)
    };
    let reset = tokio::select! {
        // The server closed the connection.
        (end, responses) = responses => matches!(end, Ok(ForwardEnd::Cut)).then_some(responses),
        // The client closed the connection.
        () = requests => None,
    };
    if let Some(responses) = reset {
        // Resets the connection: with data in flight a plain close could look like a complete
        // response. If this fails, the socket is closed.
        if let Ok(stream) = responses.to.reunite(from_client) {
            let _ = stream.set_zero_linger();
        }
    }
}

/// Forwards requests until the client closes its side or the fault's limit is reached.
async fn forward_requests(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    mut fault: watch::Receiver<NetworkFault>,
) {
    let mut chunk = vec![0; CHUNK];
    let mut passed = 0;
    loop {
        let Ok(read @ 1..) = from.read(&mut chunk).await else {
            return;
        };
        let open = fault.wait_for(|fault| *fault != NetworkFault::BlackHole);
        let Ok(fault) = open.await.map(|fault| *fault) else {
            return;
        };
        let left = match fault {
            NetworkFault::CutRequests { after } => after.saturating_sub(passed),
            _ => read,
        };
        if to.write_all(&chunk[..read.min(left)]).await.is_err() || left < read {
            return;
        }
        passed += read;
    }
}

/// Reason for which forwarding of responses ended.
enum ForwardEnd {
    Closed,
    Cut,
}

/// Forwards the responses of one connection.
struct ResponseForwarder {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    fault: watch::Receiver<NetworkFault>,
    /// Forwarded bytes.
    passed: usize,
}

impl ResponseForwarder {
    async fn forward(&mut self) -> io::Result<ForwardEnd> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = self.from.read(&mut chunk).await?;
            if read == 0 {
                return Ok(ForwardEnd::Closed);
            }
            let mut rest = &chunk[..read];
            while !rest.is_empty() {
                let Some(length) = self.next_chunk(rest.len()).await else {
                    return Ok(ForwardEnd::Cut);
                };
                let (piece, after) = rest.split_at(length);
                self.to.write_all(piece).await?;
                self.passed += length;
                rest = after;
            }
        }
    }

    /// Waits until a chunk may be forwarded, and returns its length of at most `length` bytes.
    /// Returns `None` if the connection is to be reset.
    async fn next_chunk(&mut self, length: usize) -> Option<usize> {
        loop {
            let fault = *self.fault.borrow_and_update();
            match fault {
                NetworkFault::None | NetworkFault::CutRequests { .. } => return Some(length),
                NetworkFault::Delay(delay) => {
                    sleep(delay).await;
                    return Some(length);
                }
                NetworkFault::Throttle { bytes, every } => {
                    sleep(every).await;
                    return Some(length.min(bytes.max(1)));
                }
                NetworkFault::CutResponses { after } => {
                    let left = after.saturating_sub(self.passed);
                    return (left > 0).then_some(length.min(left));
                }
                NetworkFault::BlackHole => self.fault.changed().await.ok()?,
            }
        }
    }
}
