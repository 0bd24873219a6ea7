//! Servers and proxies by hand, for clients of `https` URLs.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rpc_runtime::{Client, ClientTlsConfig};
use rpc_tests::wait::until;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::kit::{Authority, Files, Pair, Serving, WhoClient, edge, serve, who};

/// A client of a URL with this TLS, under the name of the server `gatekeeper`.
pub(super) fn secure(url: &str, tls: ClientTlsConfig) -> WhoClient {
    let client = Client::builder().url(url).tls(tls).named("gatekeeper");
    WhoClient::with_client(client.build().unwrap())
}

/// The configuration of a client that trusts an authority, whose file is in `files`.
pub(super) fn trusting(files: &Files, authority: &Authority) -> ClientTlsConfig {
    ClientTlsConfig::new().root_certificates(files.write("roots.crt", authority.pem()))
}

/// An edge with a certificate of the authority, and the files of both sides.
pub(super) async fn secure_edge(authority: &Authority) -> (Serving, Files) {
    let files = Files::new(&authority.issue("who.test"));
    let server = serve(who(edge().tls(files.config()))).await;
    (server, files)
}

/// Calls of a client that go on until they are stopped, and of which none may fail.
pub(super) struct Load {
    done: Arc<AtomicBool>,
    calls: Arc<AtomicU32>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Starts the calls, whose results must pass the check.
    pub(super) fn start(client: &WhoClient, is_right: fn(&str) -> bool) -> Self {
        let (done, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let mut tasks = JoinSet::new();
        for _ in 0..4 {
            let (done, calls, client) = (done.clone(), calls.clone(), client.clone());
            tasks.spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    let name = client.am_i().await.unwrap();
                    assert!(is_right(&name), "{name}");
                    calls.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        Self { done, calls, tasks }
    }

    /// Waits for more calls than can have begun before.
    pub(super) async fn go_on(&self) {
        let before = self.calls.load(Ordering::SeqCst);
        until(async || self.calls.load(Ordering::SeqCst) > before + 8).await;
    }

    pub(super) async fn stop(mut self) {
        self.done.store(true, Ordering::SeqCst);
        while let Some(task) = self.tasks.join_next().await {
            task.unwrap();
        }
    }
}

/// A TLS server that tells which bytes it receives, and responds with its version of HTTP.
pub(super) struct RawServer {
    pub(super) url: String,
    pub(super) address: SocketAddr,
    pub(super) requests: UnboundedReceiver<String>,
}

/// Returns the TLS of a server with this ALPN, which may require certificates of an authority.
fn tls(pair: &Pair, alpn: &[&str], clients: Option<&Authority>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (chain, key) = pair.der();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let roots = Arc::new(authority.roots());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = alpn.iter().map(|alpn| alpn.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// Starts a server whose connections offer these versions, one after the other; the last one goes
/// on. Each connection has one call.
pub(super) async fn raw_server(
    pair: &Pair,
    versions: &[&[&str]],
    clients: Option<&Authority>,
) -> RawServer {
    let all: Vec<_> = versions
        .iter()
        .map(|alpn| tls(pair, alpn, clients))
        .collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, requests) = unbounded_channel();
    tokio::spawn(async move {
        for number in 0.. {
            let config = all[all.len().min(number + 1) - 1].clone();
            let Ok((tcp, _)) = listener.accept().await else {
                return;
            };
            tokio::spawn(respond(tcp, config, seen.clone()));
        }
    });
    let url = format!("https://{address}");
    RawServer {
        url,
        address,
        requests,
    }
}

async fn respond(
    tcp: TcpStream,
    config: Arc<ServerConfig>,
    seen: UnboundedSender<String>,
) -> io::Result<()> {
    let accepted = TlsAcceptor::from(config).accept(tcp).into_fallible().await;
    let mut stream = match accepted {
        Ok(stream) => stream,
        Err((_, mut tcp)) => {
            // The client reads why, and not that the connection was reset.
            let mut rest = Vec::new();
            tcp.read_to_end(&mut rest).await?;
            return Ok(());
        }
    };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        return respond_in_http2(stream, seen)
            .await
            .map_err(io::Error::other);
    }
    let mut received = Vec::new();
    while !received.ends_with(b"{}") {
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
    }
    let _ = seen.send(String::from_utf8_lossy(&received).into_owned());
    let body = r#"{"result":"HTTP/1.1"}"#;
    let head = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.shutdown().await
}

async fn respond_in_http2(
    stream: TlsStream<TcpStream>,
    seen: UnboundedSender<String>,
) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(call) = connection.accept().await {
        let (request, mut respond) = call?;
        let _ = seen.send(format!("{:?} {}", request.version(), request.uri()));
        let response = http::Response::builder().header("content-type", "application/json");
        let mut body = respond.send_response(response.body(()).unwrap(), false)?;
        body.send_data(bytes::Bytes::from_static(br#"{"result":"HTTP/2"}"#), true)?;
        // The next call is for another connection.
        connection.graceful_shutdown();
    }
    Ok(())
}

/// An HTTP proxy that opens a tunnel to one server, whatever name it is called by.
pub(super) struct TunnelProxy {
    pub(super) url: String,
    /// The heads of the requests.
    pub(super) heads: UnboundedReceiver<String>,
}

/// Starts a proxy that gives this response to `CONNECT`, and opens the tunnel after a 200.
pub(super) async fn tunnel_proxy(server: SocketAddr, response: &'static str) -> TunnelProxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (seen, heads) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(tunnel(client, server, response, seen.clone()));
        }
    });
    TunnelProxy { url, heads }
}

async fn tunnel(
    mut client: TcpStream,
    server: SocketAddr,
    response: &str,
    seen: UnboundedSender<String>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|part| part == b"\r\n\r\n") {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let _ = seen.send(String::from_utf8_lossy(&head).into_owned());
    // In two parts, of which the second begins within the end of the head.
    let (start, rest) = response.split_at(response.len().saturating_sub(2));
    client.write_all(start.as_bytes()).await?;
    client.flush().await?;
    client.write_all(rest.as_bytes()).await?;
    if response.starts_with("HTTP/1.1 200") && response.ends_with("\r\n\r\n") {
        let mut server = TcpStream::connect(server).await?;
        copy_bidirectional(&mut client, &mut server).await?;
    } else if response.is_empty() {
        // Silent until the client has left.
        client.read_to_end(&mut head).await?;
    }
    Ok(())
}
