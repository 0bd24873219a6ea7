//! A TCP proxy that makes trouble.

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

/// How much is read from a socket at once, in bytes.
const CHUNK: usize = 16 << 10;

/// What a [`Proxy`] does to its connections, old and new. Requests go one way and answers the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum NetworkFault {
    /// Nothing: bytes pass.
    #[default]
    None,
    /// Each piece of an answer comes so much later.
    Delay(Duration),
    /// Answers come in pieces of so many bytes, each so much later than the one before.
    Throttle {
        /// Size of a piece, in bytes; 0 counts as 1.
        bytes: usize,
        /// Time before each piece.
        every: Duration,
    },
    /// Requests pass; the connection is reset after so many bytes of answers, or right before the first one.
    CutResponses {
        /// How many bytes of answers still pass on a connection.
        after: usize,
    },
    /// The connection is closed after so many bytes of requests; answers pass.
    CutRequests {
        /// How many bytes of requests still pass on a connection.
        after: usize,
    },
    /// Connections are accepted, and nothing passes in either direction, as with a stopped process.
    BlackHole,
}

/// A TCP proxy on a free port of this host, in front of one server. Its connections end when it is dropped.
///
/// ```
/// use std::time::Duration;
/// use rpc_runtime::testing::{Proxy, NetworkFault};
///
/// # async fn example(server: std::net::SocketAddr) -> std::io::Result<()> {
/// let mut proxy = Proxy::start(server).await?;
/// let url = proxy.url(); // for the client
/// proxy.set(NetworkFault::Delay(Duration::from_millis(100)));
/// proxy.refuse().await; // nobody listens any more
/// proxy.accept().await?; // and there it is again, on the same port
/// # drop(url);
/// # Ok(())
/// # }
/// ```
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<ProxyState>,
    /// Owns the connections, which end with it; `None` while connections are refused.
    accepting: Option<JoinHandle<()>>,
}

struct ProxyState {
    upstream: SocketAddr,
    fault: watch::Sender<NetworkFault>,
    connections: AtomicUsize,
}

impl Proxy {
    /// Starts a proxy in front of the server at `upstream`, which need not be there yet.
    ///
    /// # Errors
    ///
    /// When no port is free.
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

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, for a client.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections it has accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Makes trouble from now on, also on connections that are there.
    pub fn set(&self, fault: NetworkFault) {
        self.shared.fault.send_replace(fault);
    }

    /// Ends all connections and refuses new ones, as if the server's process had been killed.
    pub async fn refuse(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // Its end is the point from which the kernel refuses; that it was aborted is no news.
            let _ = accepting.await;
        }
    }

    /// Accepts connections again, on the same port.
    ///
    /// # Errors
    ///
    /// When somebody else has taken the port in the meantime.
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

/// Takes connections until it is aborted, which ends them as well.
async fn accept(listener: TcpListener, shared: Arc<ProxyState>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    connections.spawn(carry(client, Arc::clone(&shared)));
                }
                Err(error) => {
                    tracing::warn!(target: "rpc", %error, "the proxy cannot accept connections");
                    // Out of descriptors, as a rule: they come back when others close.
                    sleep(Duration::from_millis(10)).await;
                }
            },
            // What has ended is let go, so that a long test does not gather it.
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, from its start to its end.
async fn carry(client: TcpStream, shared: Arc<ProxyState>) {
    let mut fault = shared.fault.subscribe();
    // A black hole has nobody behind it: whoever comes waits.
    if fault
        .wait_for(|fault| *fault != NetworkFault::BlackHole)
        .await
        .is_err()
    {
        return;
    }
    // A server that is not there shows as a connection that ends at once.
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
    let requests = pass_requests(&mut from_client, &mut to_server, fault.clone());
    let responses = async {
        let mut responses = ResponseForwarder {
            from: from_server,
            to: to_client,
            fault,
            passed: 0,
        };
        let end = responses.pass().await;
        (end, responses)
    };
    let reset = tokio::select! {
        // The server closes: so does the proxy.
        (end, responses) = responses => matches!(end, Ok(ForwardEnd::Cut)).then_some(responses),
        // The client has gone.
        () = requests => None,
    };
    if let Some(responses) = reset {
        // With data in flight a plain close could look like the end of an answer. Best effort: the socket is closed.
        if let Ok(stream) = responses.to.reunite(from_client) {
            let _ = stream.set_zero_linger();
        }
    }
}

/// Passes what the client sends until it closes its side, or as much as may pass.
async fn pass_requests(
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

/// Why no more of an answer passes.
enum ForwardEnd {
    Closed,
    Cut,
}

/// The way of the answers on one connection.
struct ResponseForwarder {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    fault: watch::Receiver<NetworkFault>,
    /// Bytes that have passed.
    passed: usize,
}

impl ResponseForwarder {
    async fn pass(&mut self) -> io::Result<ForwardEnd> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = self.from.read(&mut chunk).await?;
            if read == 0 {
                return Ok(ForwardEnd::Closed);
            }
            let mut rest = &chunk[..read];
            while !rest.is_empty() {
                let Some(length) = self.piece(rest.len()).await else {
                    return Ok(ForwardEnd::Cut);
                };
                let (piece, behind) = rest.split_at(length);
                self.to.write_all(piece).await?;
                self.passed += length;
                rest = behind;
            }
        }
    }

    /// Waits until a piece of at most `length` bytes may pass, and says how long it is; `None` where the connection is
    /// to be cut.
    async fn piece(&mut self, length: usize) -> Option<usize> {
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
