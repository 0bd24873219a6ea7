//! An HTTP/2 server by hand: it does with each request what a test wants, which libraries do not
//! allow.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::http2_frames::{
    ACK, DATA, END_HEADERS, END_STREAM, FrameHead, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
    frame,
};

/// `:status: 200` from the static table, `content-type` with its name from there.
const JSON_HEAD: [u8; 20] = *b"\x88\x0f\x10\x10application/json";

/// An answer to a request, or none.
#[derive(Debug, Clone)]
pub enum Action {
    /// Responds with this JSON.
    Respond(String),
    /// Responds when [`Http2Peer::release`] is called.
    Hold(String),
    /// Sends `RST_STREAM` with this error code.
    Reset(u32),
    /// Sends `GOAWAY` with the last stream and this error code, then closes.
    GoAway {
        /// Last stream that was processed; `None`: the one of this request.
        last: Option<u32>,
        /// Error code.
        code: u32,
    },
    /// Allows another number of streams, and responds with this JSON.
    Allow {
        /// Number of streams.
        streams: u32,
        /// The JSON.
        json: String,
    },
    /// Sends this header block, and a short body.
    Raw(Vec<u8>),
    /// Sends the head and a part of a response, and goes on with this action.
    Begin(Box<Action>),
    /// Closes the connection.
    Close,
    /// Responds to nothing from now on but pings.
    Stall,
    /// Reads from now on, and sends nothing.
    FallSilent,
}

/// A request as the server saw it: number of its connection, and of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenRequest {
    /// From 0.
    pub connection: usize,
    /// 1, 3, 5, …
    pub stream: u32,
    /// Number of requests before it, on all connections.
    pub number: usize,
}

/// A running server. It stops when it is dropped.
#[derive(Debug)]
pub struct Http2Peer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Vec<SeenRequest>>,
    connections: AtomicUsize,
    ended: AtomicUsize,
    pings: AtomicUsize,
    /// The number of releases.
    released: watch::Sender<usize>,
}

type Decide = dyn Fn(SeenRequest) -> Action + Send + Sync;

impl Http2Peer {
    /// Starts a server that allows `max_streams` streams on a connection.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub async fn start(
        max_streams: u32,
        decide: impl Fn(SeenRequest) -> Action + Send + Sync + 'static,
    ) -> Self {
        Self::start_by(move |_| max_streams, decide).await
    }

    /// Starts a server that allows a number of streams by the number of the connection.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub async fn start_by(
        max_streams: impl Fn(usize) -> u32 + Send + 'static,
        decide: impl Fn(SeenRequest) -> Action + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port on loopback");
        let address = listener.local_addr();
        let shared = Arc::<Shared>::default();
        let decide: Arc<Decide> = Arc::new(decide);
        let state = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = state.connections.fetch_add(1, Ordering::SeqCst);
                let (state, decide) = (Arc::clone(&state), Arc::clone(&decide));
                let max_streams = max_streams(connection);
                tokio::spawn(async move {
                    let mut peer = Connection {
                        stream,
                        number: connection,
                        max_streams,
                        state,
                        decide,
                    };
                    // The client may close at any time.
                    let _ = peer.serve().await;
                    peer.state.ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self {
            address: address.expect("a bound listener has an address"),
            shared,
            accepting,
        }
    }

    /// Returns the URL for a client.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<SeenRequest> {
        let seen = self.shared.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the number of connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Returns the number of connections that have not ended.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.connections() - self.shared.ended.load(Ordering::SeqCst)
    }

    /// Returns the number of pings so far, without those of handshakes.
    #[must_use]
    pub fn pings(&self) -> usize {
        let all = self.shared.pings.load(Ordering::SeqCst);
        all.saturating_sub(self.connections())
    }

    /// Responds to the requests that are held.
    pub fn release(&self) {
        self.shared.released.send_modify(|number| *number += 1);
    }
}

impl Drop for Http2Peer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Connection {
    stream: TcpStream,
    number: usize,
    max_streams: u32,
    state: Arc<Shared>,
    decide: Arc<Decide>,
}

impl Connection {
    async fn serve(&mut self) -> io::Result<()> {
        self.stream.read_exact(&mut [0; 24]).await?;
        self.allow(self.max_streams).await?;
        let mut held: Vec<(u32, String)> = Vec::new();
        let (mut silent, mut stalled) = (false, false);
        let state = Arc::clone(&self.state);
        let mut released = state.released.subscribe();
        loop {
            let (mut head, mut filled) = ([0; 9], 0);
            while filled < head.len() {
                tokio::select! {
                    read = self.stream.read(&mut head[filled..]) => match read? {
                        0 => return Ok(()),
                        read => filled += read,
                    },
                    _ = released.changed() => {
                        for (stream, json) in held.drain(..) {
                            self.respond(stream, &json).await?;
                        }
                    }
                }
            }
            let FrameHead {
                length,
                kind,
                flags,
                stream,
            } = FrameHead::read(head);
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload).await?;
            if kind == PING && flags & ACK == 0 {
                state.pings.fetch_add(1, Ordering::SeqCst);
            }
            // Requests without an answer are seen too.
            let mut action = (kind == HEADERS).then(|| self.decide(stream));
            if let Some(Action::Begin(then)) = action {
                self.send(HEADERS, END_HEADERS, stream, &JSON_HEAD).await?;
                self.send(DATA, 0, stream, b"{").await?;
                action = Some(*then);
            }
            match kind {
                _ if silent => {}
                SETTINGS if flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]).await?,
                PING if flags & ACK == 0 => self.send(PING, ACK, 0, &payload).await?,
                _ if stalled => {}
                _ => match action {
                    Some(Action::Respond(json)) => self.respond(stream, &json).await?,
                    Some(Action::Hold(json)) => held.push((stream, json)),
                    Some(Action::Reset(code)) => {
                        self.send(RST_STREAM, 0, stream, &code.to_be_bytes())
                            .await?;
                    }
                    Some(Action::GoAway { last, code }) => {
                        let last = last.unwrap_or(stream).to_be_bytes();
                        let payload = [last, code.to_be_bytes()].concat();
                        self.send(GOAWAY, 0, 0, &payload).await?;
                        self.stream.shutdown().await?;
                        // Reads on, since a reset could overtake the frame.
                        tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await?;
                        return Ok(());
                    }
                    Some(Action::Allow { streams, json }) => {
                        self.allow(streams).await?;
                        self.respond(stream, &json).await?;
                    }
                    Some(Action::Raw(head)) => {
                        self.send(HEADERS, END_HEADERS, stream, &head).await?;
                        self.send(DATA, END_STREAM, stream, b"{}").await?;
                    }
                    // Replaced above.
                    Some(Action::Begin(_)) => {}
                    Some(Action::Close) => return Ok(()),
                    Some(Action::Stall) => stalled = true,
                    Some(Action::FallSilent) => silent = true,
                    None => {}
                },
            }
        }
    }

    fn decide(&self, stream: u32) -> Action {
        let seen = {
            let all = self.state.seen.lock();
            let mut all = all.unwrap_or_else(PoisonError::into_inner);
            let seen = SeenRequest {
                connection: self.number,
                stream,
                number: all.len(),
            };
            all.push(seen);
            seen
        };
        (self.decide)(seen)
    }

    async fn allow(&mut self, streams: u32) -> io::Result<()> {
        let mut settings = vec![0, 3];
        settings.extend(streams.to_be_bytes());
        self.send(SETTINGS, 0, 0, &settings).await
    }

    async fn respond(&mut self, stream: u32, json: &str) -> io::Result<()> {
        self.send(HEADERS, END_HEADERS, stream, &JSON_HEAD).await?;
        self.send(DATA, END_STREAM, stream, json.as_bytes()).await
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        self.stream
            .write_all(&frame(kind, flags, stream, payload))
            .await
    }
}
