//! Purchases over raw HTTP/1.1, which excludes the cost of a client library.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Failure;

/// The load: users who buy.
pub(crate) struct Load {
    gatekeeper: SocketAddr,
    /// One request per user.
    requests: Vec<String>,
}

impl Load {
    pub(crate) fn new(gatekeeper: SocketAddr, users: usize) -> Self {
        let request = |user| {
            let login = STANDARD.encode(format!("u{user}:p{user}"));
            // Computing F(7) takes negligible time, so the measurement covers the calls.
            format!("GET /7 HTTP/1.1\r\nhost: fibpro\r\nauthorization: Basic {login}\r\n\r\n")
        };
        Self {
            gatekeeper,
            requests: (0..users).map(request).collect(),
        }
    }

    /// Makes the first `users` users buy in a loop, each on a separate connection, for a duration.
    pub(crate) async fn run(&self, users: usize, time: Duration) -> Result<Measured, Failure> {
        let begun = Instant::now();
        let mut buyers = JoinSet::new();
        for request in &self.requests[..users] {
            let (gatekeeper, request) = (self.gatekeeper, request.clone());
            buyers.spawn(async move {
                let mut connection = Connection::open(gatekeeper).await?;
                let mut times = Vec::new();
                while begun.elapsed() < time {
                    times.push(connection.buy(&request).await?);
                }
                Ok::<_, Failure>(times)
            });
        }
        Measured::collect(buyers, begun).await
    }

    /// Makes one purchase for each of these users, `in_flight` at a time.
    pub(crate) async fn first_logins(
        &self,
        users: Range<usize>,
        in_flight: usize,
    ) -> Result<Measured, Failure> {
        let begun = Instant::now();
        let mut buyers = JoinSet::new();
        let requests = &self.requests[users];
        for requests in requests.chunks(requests.len().div_ceil(in_flight)) {
            let (gatekeeper, requests) = (self.gatekeeper, requests.to_vec());
            buyers.spawn(async move {
                let mut connection = Connection::open(gatekeeper).await?;
                let mut times = Vec::new();
                for request in &requests {
                    times.push(connection.buy(request).await?);
                }
                Ok::<_, Failure>(times)
            });
        }
        Measured::collect(buyers, begun).await
    }
}

/// Durations of purchases.
pub(crate) struct Measured {
    /// In ascending order.
    times: Vec<Duration>,
    elapsed: Duration,
}

impl Measured {
    async fn collect(
        mut buyers: JoinSet<Result<Vec<Duration>, Failure>>,
        begun: Instant,
    ) -> Result<Self, Failure> {
        let mut times = Vec::new();
        while let Some(bought) = buyers.join_next().await {
            times.append(&mut bought??);
        }
        times.sort_unstable();
        Ok(Self {
            times,
            elapsed: begun.elapsed(),
        })
    }

    pub(crate) fn joined(parts: &[Self]) -> Self {
        let mut times: Vec<_> = parts.iter().flat_map(|part| part.times.clone()).collect();
        times.sort_unstable();
        Self {
            times,
            elapsed: parts.iter().map(|part| part.elapsed).sum(),
        }
    }

    /// Returns the purchases per second.
    pub(crate) fn rate(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let time = self.times.get(self.times.len() * percent / 100);
        time.copied().unwrap_or_default()
    }
}

/// A connection that is kept open.
struct Connection {
    stream: TcpStream,
    arrived: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            arrived: Vec::with_capacity(1024),
        })
    }

    /// Sends a request and reads its response. Any result except the number is a failure.
    async fn buy(&mut self, request: &str) -> Result<Duration, Failure> {
        let begun = Instant::now();
        self.stream.write_all(request.as_bytes()).await?;
        self.arrived.clear();
        // The body is `13`, after a head that ends in an empty line.
        while !self.arrived.ends_with(b"\r\n\r\n13") {
            if self.stream.read_buf(&mut self.arrived).await? == 0 || self.is_no_number() {
                let arrived = String::from_utf8_lossy(&self.arrived);
                return Err(format!("a purchase failed: {arrived}").into());
            }
        }
        Ok(begun.elapsed())
    }

    fn is_no_number(&self) -> bool {
        const OK: &[u8] = b"HTTP/1.1 200 ";
        let known = self.arrived.len().min(OK.len());
        self.arrived[..known] != OK[..known]
    }
}
