//! The TLS state of a client, and its handshakes.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ProtocolVersion, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;

use super::ClientTlsConfig;
use super::failure::{self, ConnectionNames};
use crate::error::{Code, Error, Result};
use crate::sync::{MutexExt as _, RwLockExt as _};
use crate::tls::{HTTP1, HTTP2, TlsTexts, provider};

/// A TLS connection to a server.
pub(in crate::client::transport) type TlsStream = tokio_rustls::client::TlsStream<TcpStream>;

/// The least time between two readings of the files.
const READ_INTERVAL: Duration = Duration::from_millis(500);

/// The time between two readings that must be equal, so that no write is in progress.
const SETTLE_INTERVAL: Duration = Duration::from_millis(50);

/// The number of readings until two are equal. Otherwise the old content stays in use for now.
const SETTLE_READINGS: u32 = 4;

/// The time for which a server that has asked for a certificate may refuse it. In TLS 1.3 it does
/// so after the handshake of the client; most servers send something when they accept it.
const VERDICT_TIMEOUT: Duration = Duration::from_millis(250);

tokio::task_local! {
    /// Whether the server of this handshake asks for a certificate.
    static ASKED: Arc<AtomicBool>;
}

/// The TLS state that the connections with one configuration share. Cloning is cheap.
#[derive(Clone)]
pub(in crate::client::transport) struct ClientTls(Arc<ClientTlsInner>);

struct ClientTlsInner {
    config: ClientTlsConfig,
    server_name: Option<ServerName<'static>>,
    current: RwLock<Loaded>,
    /// The number of times that the files have changed.
    generation: AtomicU64,
    last: Mutex<LastReading>,
    reading: tokio::sync::Mutex<()>,
}

/// The content of the files that is in use.
struct Loaded {
    rustls: Arc<rustls::ClientConfig>,
    texts: TlsTexts,
}

struct LastReading {
    at: Instant,
    /// The problem that was logged last.
    problem: Option<String>,
}

impl ClientTls {
    /// Reads the files of a configuration, by default those of the system. Blocks.
    ///
    /// # Errors
    ///
    /// `failed_precondition` or `invalid_argument`, with the file and the problem.
    pub(in crate::client::transport) fn load(config: Option<&ClientTlsConfig>) -> Result<Self> {
        let config = config.cloned().unwrap_or_default();
        let texts = config.files.read()?;
        config.files.warn_of_readable_key();
        let rustls = Arc::new(build(&config, &texts)?);
        if let Err(problem) = config.files.check_validity(&texts) {
            tracing::warn!(target: "rpc", "{}; servers will refuse it", problem.message());
        }
        let server_name = config.server_name.clone().map(|name| {
            ServerName::try_from(name.clone()).map_err(|_| {
                let shown = crate::text::EscapeControl(&name);
                let text =
                    format!("invalid server name `{shown}`: expected a DNS name or an IP address");
                Error::without_location(Code::InvalidArgument, text)
            })
        });
        Ok(Self(Arc::new(ClientTlsInner {
            server_name: server_name.transpose()?,
            current: RwLock::new(Loaded { rustls, texts }),
            generation: AtomicU64::new(0),
            last: Mutex::new(LastReading {
                at: Instant::now(),
                problem: None,
            }),
            reading: tokio::sync::Mutex::new(()),
            config,
        })))
    }

    /// Returns whether HTTP/2 is not offered.
    pub(in crate::client::transport) fn is_http1(&self) -> bool {
        self.0.config.is_http1()
    }

    /// Returns the number of times that the files have changed. Connections of an older generation
    /// get no new calls.
    pub(in crate::client::transport) fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Starts to read the files again if it is time to.
    pub(in crate::client::transport) fn refresh_in_background(&self) {
        if self.is_due() && self.0.reading.try_lock().is_ok() {
            let tls = self.clone();
            tokio::spawn(async move { tls.refresh().await });
        }
    }

    /// Reads the files again if it is time to, and uses new content that is complete and valid.
    async fn refresh(&self) {
        if !self.is_due() {
            return;
        }
        let _reading = self.0.reading.lock().await;
        if !self.is_due() {
            return;
        }
        let reloaded = self.reload().await;
        let mut last = self.0.last.lock_unpoisoned();
        last.at = Instant::now();
        let problem = match reloaded {
            Ok(is_new) => {
                if is_new {
                    tracing::info!(target: "rpc", files = %self.files(), "the TLS files of a client were reloaded");
                }
                None
            }
            Err(error) => Some(error.message().to_owned()),
        };
        if let Some(reason) = problem.as_ref().filter(|_| problem != last.problem) {
            tracing::error!(target: "rpc", files = %self.files(), reason, "failed to reload the TLS files of a client: the old ones stay in use");
        }
        last.problem = problem;
    }

    fn is_due(&self) -> bool {
        self.0.config.has_files() && self.0.last.lock_unpoisoned().at.elapsed() >= READ_INTERVAL
    }

    /// Reads the files until two readings are equal, and uses them. Returns whether they are new.
    async fn reload(&self) -> Result<bool> {
        let mut texts = self.read().await;
        for _ in 1..SETTLE_READINGS {
            if texts.as_ref().is_ok_and(|texts| self.is_current(texts)) {
                return Ok(false);
            }
            sleep(SETTLE_INTERVAL).await;
            let again = self.read().await;
            let is_settled = matches!((&texts, &again), (Ok(one), Ok(other)) if one == other);
            texts = again;
            if is_settled {
                return self.apply(texts?).map(|()| true);
            }
        }
        // It changes all the time, or cannot be read.
        texts.map(|_| false)
    }

    async fn read(&self) -> Result<TlsTexts> {
        let tls = self.clone();
        // The file system may be slow or remote.
        let reading = tokio::task::spawn_blocking(move || tls.0.config.files.read());
        reading.await.unwrap_or_else(|error| {
            let text = format!("failed to read the TLS files: {error}");
            Err(Error::without_location(Code::Internal, text))
        })
    }

    fn is_current(&self, texts: &TlsTexts) -> bool {
        self.0.current.read_unpoisoned().texts == *texts
    }

    fn apply(&self, texts: TlsTexts) -> Result<()> {
        let rustls = Arc::new(build(&self.0.config, &texts)?);
        self.0.config.files.check_validity(&texts)?;
        *self.0.current.write_unpoisoned() = Loaded { rustls, texts };
        self.0.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    fn files(&self) -> String {
        let files = &self.0.config.files;
        let pair = files.pair.iter().flat_map(|(one, other)| [one, other]);
        let all = pair
            .chain(&files.authorities)
            .map(|path| path.display().to_string());
        all.collect::<Vec<_>>().join(", ")
    }

    /// Runs the handshake of a connection to `host`. Returns the connection, and whether HTTP/2 was
    /// negotiated. The caller must set a timeout.
    ///
    /// # Errors
    ///
    /// What is wrong, and what to do about it.
    pub(in crate::client::transport) async fn handshake(
        &self,
        host: &str,
        tcp: TcpStream,
    ) -> Result<(TlsStream, bool), String> {
        self.refresh().await;
        let names = ConnectionNames {
            host,
            sends_certificate: self.0.config.has_client_certificate(),
            is_http1: self.is_http1(),
        };
        let name = match &self.0.server_name {
            Some(name) => name.clone(),
            None => server_name(host)?,
        };
        let config = Arc::clone(&self.0.current.read_unpoisoned().rustls);
        let asked = Arc::new(AtomicBool::new(false));
        let handshake = TlsConnector::from(config).connect(name, tcp);
        let connected = ASKED.scope(Arc::clone(&asked), handshake).await;
        let mut stream = connected.map_err(|error| failure::describe(&error, names))?;
        if asked.load(Ordering::Relaxed) {
            await_verdict(&mut stream)
                .await
                .map_err(|error| failure::describe(&error, names))?;
        }
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
        Ok((stream, is_http2))
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientTls").field(&self.0.config).finish()
    }
}

/// Waits until the server has accepted or refused the certificate, or that there is none.
async fn await_verdict(stream: &mut TlsStream) -> std::io::Result<()> {
    let (tcp, session) = stream.get_ref();
    if session.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return Ok(());
    }
    match timeout(VERDICT_TIMEOUT, tcp.readable()).await {
        Ok(readable) => readable?,
        // It says nothing if it accepts.
        Err(_) => return Ok(()),
    }
    // Processes what has arrived, and takes no data.
    std::future::poll_fn(|cx| {
        let mut nothing = ReadBuf::new(&mut []);
        match Pin::new(&mut *stream).poll_read(cx, &mut nothing) {
            std::task::Poll::Ready(Err(error)) => std::task::Poll::Ready(Err(error)),
            _ => std::task::Poll::Ready(Ok(())),
        }
    })
    .await
}

/// Returns the name that the certificate of a server must have.
fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    // The dot at the end marks a name as absolute, and is in no certificate.
    let name = address.unwrap_or_else(|| host.trim_end_matches('.'));
    ServerName::try_from(name.to_owned())
        .map_err(|_| format!("the host `{host}` cannot be the name in a certificate"))
}

impl ClientTlsConfig {
    fn has_files(&self) -> bool {
        self.files.pair.is_some() || !self.files.authorities.is_empty()
    }
}

fn build(config: &ClientTlsConfig, texts: &TlsTexts) -> Result<rustls::ClientConfig> {
    let roots = if config.files.authorities.is_empty() {
        system_roots()?
    } else {
        Arc::new(config.files.parse_authorities(texts)?)
    };
    let key = match config.files.parse_pair(texts)? {
        None => None,
        Some((chain, key)) => {
            let key = CertifiedKey::from_der(chain, key, &provider());
            Some(Arc::new(
                key.map_err(|error| config.files.invalid_pair(&error))?,
            ))
        }
    };
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| {
            let text = format!("failed to set up TLS: {error}");
            Error::without_location(Code::Internal, text)
        })?;
    let mut built = builder
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(Resolver { key }));
    built.alpn_protocols = match config.is_http1() {
        true => vec![HTTP1.to_vec()],
        false => vec![HTTP2.to_vec(), HTTP1.to_vec()],
    };
    Ok(built)
}

/// Returns the certificate authorities that this system trusts, which are read once. Blocks.
fn system_roots() -> Result<Arc<RootCertStore>> {
    static ROOTS: Mutex<Option<Arc<RootCertStore>>> = Mutex::new(None);
    let mut known = ROOTS.lock_unpoisoned();
    if let Some(roots) = &*known {
        return Ok(Arc::clone(roots));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = found.errors.first();
        let reason = reason.map_or_else(String::new, |error| format!(" ({error})"));
        let text = format!(
            "no root certificates were found on this system{reason}: install them (the package \
             `ca-certificates`), set SSL_CERT_FILE, or use `ClientTlsConfig::root_certificates`"
        );
        return Err(Error::without_location(Code::FailedPrecondition, text));
    }
    Ok(Arc::clone(known.insert(Arc::new(roots))))
}

/// Gives the certificate of the client to servers that ask for one.
#[derive(Debug)]
struct Resolver {
    key: Option<Arc<CertifiedKey>>,
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // Outside of a handshake of this module there is nothing to tell.
        let _ = ASKED.try_with(|asked| asked.store(true, Ordering::Relaxed));
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}
