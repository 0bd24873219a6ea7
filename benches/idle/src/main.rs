//! Memory that each of 10,000 idle connections uses in a server.
//!
//! The server runs in a separate process. Each connection makes one call and stays open. The
//! benchmark reads the anonymous memory of the process (`RssAnon`) before the first connection and
//! when all of them are idle; it does not include buffers of the kernel.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bench_work::{EchoServer, Handlers, NAME};
use clap::{Parser, ValueEnum};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rpc_runtime::{Limits, Server};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Number of times the connections are opened. Memory counts once it is written, so later waves,
/// which reuse written memory, need more than the first. Growth without end would be a leak.
const WAVES: usize = 6;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Measures the memory of idle connections
#[derive(Debug, Parser)]
struct Options {
    /// Number of connections
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Protocols to measure
    #[arg(long, value_delimiter = ',', default_values_t = [Protocol::Http1, Protocol::Http2])]
    protocol: Vec<Protocol>,
    /// Run as the server: print the address, and exit when standard input is closed
    #[arg(long, hide = true)]
    serve: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Protocol {
    Http1,
    Http2,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
        })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    raise_open_files()?;
    if options.serve {
        return serve().await;
    }
    let mut out = std::io::stdout();
    writeln!(
        out,
        "| connections | | without any | each | each, when they are opened for the sixth time |\n| --- | --- | --- | --- | --- |"
    )?;
    for protocol in options.protocol {
        measure(protocol, options.connections, &mut out).await?;
    }
    Ok(())
}

/// Raises the limit of open files to the maximum: a connection uses one in each process.
fn raise_open_files() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

async fn serve() -> Result<()> {
    std::thread::spawn(|| {
        // The harness writes nothing; the pipe closes when it exits.
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    let mut limits = Limits::default();
    limits.connections = usize::MAX;
    // Opening all of them may take longer than the default.
    limits.idle_timeout = Duration::from_secs(3600);
    let server = Server::new("echo").add(EchoServer::new(Handlers));
    let server = server.limits(limits);
    Ok(server.serve(listener, std::future::pending()).await?)
}

async fn measure(protocol: Protocol, count: usize, out: &mut impl std::io::Write) -> Result<()> {
    let server = Process::start()?;
    // One-time cost of the first call.
    for n in 0..64 {
        connect(protocol, server.address, n).await?;
    }
    settled(&server).await?;
    let before = server.memory()?;
    let mut waves = Vec::new();
    for _ in 0..WAVES {
        let with = with_open(protocol, count, &server).await?;
        waves.push(with.saturating_sub(before) as f64 / count as f64);
        settled(&server).await?;
    }
    if let [first, .., last] = waves[..] {
        writeln!(
            out,
            "| {count} | {protocol} | {before} KiB | {first:.1} KiB | {last:.1} KiB |"
        )?;
    }
    Ok(())
}

/// Measures the server's memory with a number of idle connections.
async fn with_open(protocol: Protocol, count: usize, server: &Process) -> Result<u64> {
    let mut open = Vec::new();
    for n in 0..count {
        let connection = connect(protocol, server.address, n).await;
        open.push(connection.map_err(|error| format!("connection {n} of {count}: {error}"))?);
    }
    settled(server).await?;
    server.memory()
}

/// Waits until the server's memory is stable for a second, at most 30 s.
async fn settled(server: &Process) -> Result<()> {
    const ABOUT: u64 = 64;
    let (mut last, mut same) = (server.memory()?, 0);
    for _ in 0..150 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = server.memory()?;
        same = if now.abs_diff(last) < ABOUT {
            same + 1
        } else {
            0
        };
        if same == 5 {
            break;
        }
        last = now;
    }
    Ok(())
}

/// A connection that was used once; closed on drop.
enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

async fn connect(protocol: Protocol, server: SocketAddr, n: usize) -> Result<Connection> {
    let io = TokioIo::new(stream(server, n).await?);
    let mut connection = match protocol {
        Protocol::Http1 => {
            let (sender, connection) = http1::handshake(io).await?;
            tokio::spawn(connection);
            Connection::Http1(sender)
        }
        Protocol::Http2 => {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            Connection::Http2(sender)
        }
    };
    let response = connection.send(request(server)?).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if status != 200 {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
    }
    Ok(connection)
}

impl Connection {
    async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => sender.send_request(request).await,
            Self::Http2(sender) => sender.send_request(request).await,
        }
    }
}

/// Returns the local address: a new one for each 2,000 connections, since the ports of an address
/// are limited and a server accepts 2,500 connections per peer.
async fn stream(server: SocketAddr, n: usize) -> Result<TcpStream> {
    let host = u8::try_from(2 + n / 2000)?;
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into())?;
    let stream = socket.connect(server).await?;
    // HTTP/2 writes a request in pieces; Nagle's algorithm would delay each until the one before is
    // acknowledged.
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn request(server: SocketAddr) -> Result<Request<Full<Bytes>>> {
    let message = format!(r#"{{"name":"{NAME}"}}"#);
    Ok(
        Request::post(format!("http://{server}/bench.v1.Echo/Greet"))
            .header("host", server.to_string())
            .header("content-type", "application/json")
            .header("connect-protocol-version", "1")
            .header("connect-timeout-ms", "30000")
            .header("x-request-id", "3b9d41f8a0c2e576")
            .header("x-rpc-source", "controller@prod/127.0.0.1:9006")
            .body(Full::new(message.into()))?,
    )
}

/// The process of the server, which is killed on drop.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut address)?;
        }
        let address = address.trim().parse()?;
        Ok(Self { child, address })
    }

    /// Returns the anonymous memory in KiB.
    fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let text = line
            .ok_or("the process status in /proc has no line `RssAnon:`")?
            .trim();
        Ok(text.trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only when the process has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
