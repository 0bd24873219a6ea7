//! Certificates in files, and a client that sends exactly what a test writes over TLS.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, ListenOptions, ServerTlsConfig};
use rpc_tests::folder::Folder;
use rpc_tests::raw::Response;
use rpc_tests::wait::within;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

#[rpc_service(package = "shop.v1")]
pub(super) trait Who {
    /// Returns what the server knows of the caller: address, certificate, source, and the user.
    async fn am_i(&self) -> Result<String>;
}

pub(super) struct Mirror;

impl Who for Mirror {
    async fn am_i(&self) -> Result<String> {
        Ok(caller())
    }
}

pub(super) fn caller() -> String {
    let context = Context::current();
    let address = context
        .peer_address()
        .map(|address| address.ip().to_string());
    let certificate = context.peer_certificate().map(ToString::to_string);
    let source = context.source().map(|source| source.server().to_owned());
    let parts = [address, certificate, source].map(|part| part.unwrap_or_else(|| "-".to_owned()));
    let user = context.principal();
    let user = user.map(|user| format!(", user {}", user.subject()));
    parts.join(" ") + &user.unwrap_or_default()
}

pub(super) const PATH: &str = "/shop.v1.Who/AmI";

/// A certificate authority.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

/// A certificate and its key, in PEM.
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
    der: (CertificateDer<'static>, PrivateKeyDer<'static>),
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(super) fn issue(&self, name: &str) -> Pair {
        self.issue_until(name, 2099)
    }

    /// Issues a certificate that is valid to the end of a year before `year`.
    pub(super) fn issue_until(&self, name: &str, year: i32) -> Pair {
        let names = vec![name.to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        self.issue_params(name, params)
    }

    /// Issues a certificate with this common name.
    pub(super) fn issue_params(&self, name: &str, mut params: CertificateParams) -> Pair {
        params.distinguished_name = named(name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: (
                certificate.der().clone(),
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            ),
        }
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        roots
    }

    /// Returns the certificate of the authority itself, as one of a server.
    pub(super) fn own(&self) -> Pair {
        let key = self.issuer.key();
        Pair {
            certificate: self.pem.clone(),
            key: key.serialize_pem(),
            der: (
                self.der.clone(),
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            ),
        }
    }
}

impl Pair {
    pub(super) fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (vec![self.der.0.clone()], self.der.1.clone_key())
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// The files of a server.
pub(super) struct Files(Folder);

impl Files {
    pub(super) fn new(pair: &Pair) -> Self {
        let files = Self(Folder::new());
        files.replace(pair);
        files
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub(super) fn replace(&self, pair: &Pair) {
        self.write("tls.crt", &pair.certificate);
        self.write("tls.key", &pair.key);
    }

    pub(super) fn config(&self) -> ServerTlsConfig {
        ServerTlsConfig::new(self.path("tls.crt"), self.path("tls.key"))
    }
}

/// A running server, stopped when it is dropped.
pub(super) struct Serving {
    pub(super) address: SocketAddr,
    pub(super) url: String,
    task: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) async fn serve(server: Server) -> Serving {
    let bound = server.bind().await.unwrap();
    Serving {
        address: bound.addresses()[0],
        url: bound.url(),
        task: tokio::spawn(bound.serve(std::future::pending())),
    }
}

/// A server of [`Who`] with one listener.
pub(super) fn who(listener: ListenOptions) -> Server {
    Server::new("who")
        .add(WhoServer::new(Mirror))
        .listen_with(listener)
}

pub(super) fn edge() -> ListenOptions {
    ListenOptions::edge("127.0.0.1:0")
}

/// A TLS client that trusts one authority.
pub(super) struct TlsClient {
    roots: RootCertStore,
    pair: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    alpn: &'static str,
}

impl TlsClient {
    pub(super) fn new(authority: &Authority) -> Self {
        Self {
            roots: authority.roots(),
            pair: None,
            alpn: "http/1.1",
        }
    }

    pub(super) fn certificate(mut self, pair: &Pair) -> Self {
        self.pair = Some((pair.der.0.clone(), pair.der.1.clone_key()));
        self
    }

    pub(super) fn alpn(mut self, alpn: &'static str) -> Self {
        self.alpn = alpn;
        self
    }

    pub(super) async fn connect(&self, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        self.handshake(TcpStream::connect(address).await?).await
    }

    pub(super) async fn handshake(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.pair {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(vec![certificate.clone()], key.clone_key())
                .unwrap(),
        };
        config.alpn_protocols = vec![self.alpn.as_bytes().to_vec()];
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        within(connector.connect(name, tcp)).await
    }

    /// Calls [`Who`] on a new connection. Returns the response.
    pub(super) async fn call(&self, address: SocketAddr, headers: &str) -> io::Result<String> {
        let mut stream = self.connect(address).await?;
        exchange(&mut stream, headers).await
    }
}

/// Calls [`Who`] on a connection, which the server then closes.
pub(super) async fn exchange<I>(stream: &mut I, headers: &str) -> io::Result<String>
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let request = post(PATH, &format!("connection: close\r\n{headers}"));
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    within(stream.read_to_string(&mut response)).await?;
    Ok(response)
}

pub(super) fn post(path: &str, headers: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 2\r\n{headers}\r\n{{}}"
    )
}

/// A client of [`Who`] at a plain URL.
pub(super) fn client(url: &str) -> WhoClient {
    WhoClient::with_client(Client::new(url).unwrap())
}

/// Returns the body of a response.
pub(super) fn text(response: &Response) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}
