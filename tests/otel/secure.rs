use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rpc_runtime::otel::TraceExporter;
use rpc_runtime::{ClientTlsConfig, Code};
use rpc_tests::folder::Folder;
use rpc_tests::wait::{until, within};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tracing::info_span;
use tracing_subscriber::layer::SubscriberExt as _;

use super::collector::Collector;

/// A certificate of 127.0.0.1 that is its own authority, in files.
pub(super) struct Certificate {
    pair: CertifiedKey<KeyPair>,
    folder: Folder,
}

impl Certificate {
    pub(super) fn new() -> Self {
        let pair = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let folder = Folder::new();
        std::fs::write(folder.file("tls.crt"), pair.cert.pem()).unwrap();
        std::fs::write(folder.file("tls.key"), pair.signing_key.serialize_pem()).unwrap();
        Self { pair, folder }
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.file("tls.crt")
    }

    pub(super) fn key_file(&self) -> PathBuf {
        self.folder.file("tls.key")
    }

    /// Starts a collector with the certificate, which may require that of a client.
    pub(super) async fn collector(&self, client: Option<&Self>) -> Collector {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let mut roots = RootCertStore::empty();
                roots.add(client.pair.cert.der().clone()).unwrap();
                let roots = Arc::new(roots);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(self.pair.signing_key.serialize_der()).unwrap();
        let chain = vec![self.pair.cert.der().clone()];
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Collector::start_tls(TlsAcceptor::from(Arc::new(config))).await
    }
}

fn trusting(certificate: &Certificate) -> ClientTlsConfig {
    ClientTlsConfig::new().root_certificates(certificate.file())
}

/// Exports one span. Returns the exporter.
fn export_one(builder: rpc_runtime::otel::TraceExporterBuilder) -> TraceExporter {
    let exporter = builder.start("shop").unwrap();
    let subscriber = tracing_subscriber::registry().with(exporter.layer());
    tracing::subscriber::with_default(subscriber, || drop(info_span!("work").entered()));
    exporter
}

#[tokio::test]
async fn spans_reach_a_collector_over_tls() {
    let certificate = Certificate::new();
    let collector = certificate.collector(None).await;
    let builder = TraceExporter::builder(&collector.url).unwrap();
    let builder = builder
        .header("Authorization", "Bearer canary")
        .unwrap()
        .tls(trusting(&certificate));
    assert!(!format!("{builder:?}").contains("canary"), "{builder:?}");
    let exporter = export_one(builder);
    until(async || exporter.exported() == 1).await;
    let head = collector.heads().remove(0);
    assert!(
        head.contains("\r\nauthorization: bearer canary\r\n"),
        "{head}"
    );
    let host = collector.url.replace("https://", "\r\nhost: ");
    assert!(head.contains(&format!("{host}\r\n")), "{head}");
    within(exporter.shutdown(Duration::from_secs(30))).await;
}

#[tokio::test]
async fn a_collector_may_require_a_certificate() {
    let (certificate, client) = (Certificate::new(), Certificate::new());
    let collector = certificate.collector(Some(&client)).await;
    let tls = trusting(&certificate).client_certificate(client.file(), client.key_file());
    let builder = TraceExporter::builder(&collector.url).unwrap().tls(tls);
    let exporter = export_one(builder);
    until(async || exporter.exported() == 1).await;
    // Nothing is sent to a collector that refuses.
    let builder = TraceExporter::builder(&collector.url).unwrap();
    let exporter = export_one(builder.tls(trusting(&certificate)));
    within(exporter.shutdown(Duration::from_millis(1200))).await;
    assert_eq!(collector.requests(), 1);
}

#[tokio::test]
async fn a_collector_of_another_authority_gets_nothing() {
    let (certificate, other) = (Certificate::new(), Certificate::new());
    let collector = certificate.collector(None).await;
    for tls in [
        trusting(&other),
        trusting(&certificate).server_name("collector.test"),
    ] {
        let builder = TraceExporter::builder(&collector.url).unwrap();
        let exporter = export_one(builder.tls(tls));
        within(exporter.shutdown(Duration::from_millis(1200))).await;
    }
    assert_eq!(collector.requests(), 0);
}

#[test]
fn certificates_that_cannot_be_used_fail_the_start() {
    let certificate = Certificate::new();
    let not_pem = certificate.folder.file("not-pem");
    std::fs::write(&not_pem, "canary").unwrap();
    let own = || trusting(&certificate);
    for (tls, file) in [
        (
            ClientTlsConfig::new().root_certificates("/missing.crt"),
            "/missing.crt",
        ),
        (
            ClientTlsConfig::new().root_certificates(&not_pem),
            "not-pem",
        ),
        (
            own().client_certificate(&not_pem, certificate.key_file()),
            "not-pem",
        ),
        (
            own().client_certificate(certificate.file(), "/missing.key"),
            "/missing.key",
        ),
    ] {
        let builder = TraceExporter::builder("https://127.0.0.1:1")
            .unwrap()
            .tls(tls);
        let error = builder.start("shop").unwrap_err();
        assert!(error.message().contains(file), "{error}");
        assert!(!error.message().contains("canary"), "{error}");
    }
}

#[test]
fn headers_that_cannot_be_sent_are_refused() {
    for (name, value) in [
        ("a b", "canary"),
        ("", "canary"),
        ("a", "canary\r\nb: c"),
        ("Host", "canary"),
        ("content-length", "canary"),
    ] {
        let builder = TraceExporter::builder("http://127.0.0.1:4318").unwrap();
        let error = builder.header(name, value).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{name}");
        assert!(!error.message().contains("canary"), "{error}");
    }
}
