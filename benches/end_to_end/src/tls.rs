//! The certificate of the TLS servers, and axum behind rustls as its examples have it.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rpc_runtime::{ClientTlsConfig, ServerTlsConfig};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::Result;

/// The address of all servers.
const HOST: &str = "127.0.0.1";

/// A certificate for all servers and its key, in a folder of its own that is removed on drop.
pub(crate) struct TemporaryCertificate(PathBuf);

impl TemporaryCertificate {
    pub(crate) fn create() -> Result<Self> {
        let name = format!("bench-end-to-end-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&folder)?;
        let created = Self(folder);
        let pair = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
        fs::write(certificate(&created.0), pair.cert.pem())?;
        fs::write(key(&created.0), pair.signing_key.serialize_pem())?;
        Ok(created)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryCertificate {
    fn drop(&mut self) {
        // At worst two small files stay in the folder for temporary ones.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn certificate(folder: &Path) -> PathBuf {
    folder.join("tls.crt")
}

fn key(folder: &Path) -> PathBuf {
    folder.join("tls.key")
}

/// Returns the framework's configuration of a listener.
pub(crate) fn server(folder: &Path) -> ServerTlsConfig {
    ServerTlsConfig::new(certificate(folder), key(folder))
}

/// Returns the framework's configuration of a client.
pub(crate) fn client(folder: &Path) -> ClientTlsConfig {
    ClientTlsConfig::new().root_certificates(certificate(folder))
}

/// Returns the options of a client of reqwest.
pub(crate) fn reqwest_options(folder: &Path) -> Result<reqwest::ClientBuilder> {
    let root = reqwest::Certificate::from_pem(&fs::read(certificate(folder))?)?;
    Ok(reqwest::Client::builder().tls_certs_only([root]))
}

/// Serves a router over TLS until the process ends.
pub(crate) async fn serve(listener: TcpListener, router: Router, folder: &Path) -> Result<()> {
    let chain = CertificateDer::pem_file_iter(certificate(folder))?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key(folder))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(tcp).await else {
                return;
            };
            let connection = auto::Builder::new(TokioExecutor::new());
            // Clients close their connections at the end of a measurement.
            let _ = connection
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
                .await;
        });
    }
}
