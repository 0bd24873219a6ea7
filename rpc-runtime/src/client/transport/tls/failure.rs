//! The errors of handshakes, in words.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};
use x509_cert::der::DateTime;

use crate::text::EscapeControl;

/// The facts about a connection that explain its failure.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionNames<'a> {
    pub(super) host: &'a str,
    pub(super) sends_certificate: bool,
    /// Whether the client offers HTTP/1.1 only.
    pub(super) is_http1: bool,
}

/// Describes the failure of a handshake, with what to do about it.
pub(super) fn describe(error: &io::Error, names: ConnectionNames<'_>) -> String {
    match rustls_error(error) {
        Some(error) => describe_rustls(error, names),
        None if error.kind() == ErrorKind::UnexpectedEof => {
            "the server closed the connection during the TLS handshake; it may not serve TLS"
                .to_owned()
        }
        None => format!(
            "the connection broke during the TLS handshake ({error}); the server may not serve TLS"
        ),
    }
}

/// Describes the refusal of a handshake that the server has sent after its end, as TLS 1.3 allows.
/// `None` for other errors. A server that refuses the handshake has read no request.
pub(in crate::client::transport) fn refusal(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>();
        if let Some(rustls::Error::AlertReceived(alert)) = io.and_then(rustls_error)
            && is_about_certificates(*alert)
        {
            return Some(describe_alert(*alert, true));
        }
        next = error.source();
    }
    None
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn describe_rustls(error: &rustls::Error, names: ConnectionNames<'_>) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => describe_certificate(error, names.host),
        rustls::Error::AlertReceived(AlertDescription::UnrecognisedName) => format!(
            "the server has no certificate for the name `{}`; use another one in the URL, or `ClientTlsConfig::server_name`",
            names.host
        ),
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) if names.is_http1 => {
            "the server does not offer HTTP/1.1 over TLS (ALPN); do not use `ClientTlsConfig::http1`"
                .to_owned()
        }
        rustls::Error::AlertReceived(alert) => describe_alert(*alert, names.sends_certificate),
        rustls::Error::InvalidMessage(_) => {
            "the server does not serve TLS; if it serves plain HTTP, use a URL with `http://`"
                .to_owned()
        }
        error => format!(
            "the TLS handshake failed: {}",
            EscapeControl(&error.to_string())
        ),
    }
}

fn describe_alert(alert: AlertDescription, sends_certificate: bool) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            "the server requires a client certificate; set `ClientTlsConfig::client_certificate`"
                .to_owned()
        }
        AlertDescription::NoApplicationProtocol => {
            "the server offers neither HTTP/2 nor HTTP/1.1 over TLS (ALPN)".to_owned()
        }
        AlertDescription::ProtocolVersion => {
            "the server offers neither TLS 1.3 nor TLS 1.2".to_owned()
        }
        alert if is_about_certificates(alert) && sends_certificate => format!(
            "the server refused the client certificate ({alert:?}); its authority must be one that the server trusts, and it must be valid now"
        ),
        // Of TLS 1.2, which has no alert for a missing certificate.
        alert if is_about_certificates(alert) || alert == AlertDescription::HandshakeFailure => {
            format!(
                "the server refused the TLS handshake ({alert:?}); it may require a client certificate (`ClientTlsConfig::client_certificate`)"
            )
        }
        alert => format!("the server ended the TLS handshake with the alert {alert:?}"),
    }
}

fn is_about_certificates(alert: AlertDescription) -> bool {
    use AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked,
        CertificateUnknown, UnknownCA, UnsupportedCertificate,
    };
    matches!(
        alert,
        AccessDenied
            | BadCertificate
            | CertificateExpired
            | CertificateRequired
            | CertificateRevoked
            | CertificateUnknown
            | UnknownCA
            | UnsupportedCertificate
    )
}

fn describe_certificate(error: &CertificateError, host: &str) -> String {
    match error {
        CertificateError::Expired => "the certificate of the server has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the certificate of the server expired at {}", time(*not_after))
        }
        CertificateError::NotValidYet => "the certificate of the server is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "the certificate of the server is valid from {} only; compare the clocks",
            time(*not_before)
        ),
        CertificateError::NotValidForName => wrong_name(host, &[]),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => wrong_name(&expected.to_str(), presented),
        // An authority with the name of a trusted one, and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the certificate of the server is not issued by an authority that this client trusts; add the authority with `ClientTlsConfig::root_certificates`".to_owned()
        }
        CertificateError::Revoked => "the certificate of the server was revoked".to_owned(),
        error if format!("{error:?}").contains("CaUsedAsEndEntity") => {
            "the certificate of the server is that of an authority; issue one with `basicConstraints=CA:FALSE`".to_owned()
        }
        error => format!("the certificate of the server is not valid: {error}"),
    }
}

fn wrong_name(expected: &str, presented: &[String]) -> String {
    /// The number of names that a message lists.
    const LISTED: usize = 4;
    let mut names: Vec<_> = presented
        .iter()
        .take(LISTED)
        .map(|name| plain_name(name))
        .collect();
    if presented.len() > LISTED {
        names.push("…".to_owned());
    }
    let issued = if names.is_empty() {
        "has no name that can be compared".to_owned()
    } else {
        format!("is for {}", names.join(", "))
    };
    format!(
        "the certificate of the server {issued} and not for `{expected}`; use a name of the certificate in the URL, or `ClientTlsConfig::server_name`"
    )
}

/// Returns a name as people write it; rustls gives `DnsName("a.test")`.
fn plain_name(name: &str) -> String {
    let quoted = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    let name = quoted.unwrap_or(name).trim_matches('"');
    format!("`{}`", EscapeControl(name))
}

fn time(time: UnixTime) -> String {
    let time = DateTime::from_unix_duration(Duration::from_secs(time.as_secs()));
    time.map_or_else(|_| "an unknown time".to_owned(), |time| time.to_string())
}
