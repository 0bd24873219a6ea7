//! The names and the validity of a certificate.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::context::PeerCertificate;
use crate::text::EscapeControl;

/// The type of a common name. Source: RFC 4519, section 2.3.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Reads the names of a certificate that was verified. `None` if they cannot be read.
pub(crate) fn peer_certificate(der: &CertificateDer<'_>) -> Option<PeerCertificate> {
    let certificate = Certificate::from_der(der).ok()?;
    let content = certificate.tbs_certificate();
    let (mut dns_names, mut emails, mut uris) = (Vec::new(), Vec::new(), Vec::new());
    let names = content.get_extension::<SubjectAltName>().ok()?;
    for name in names.into_iter().flat_map(|(_, names)| names.0) {
        match name {
            GeneralName::DnsName(name) => dns_names.push(name.to_string()),
            GeneralName::Rfc822Name(name) => emails.push(name.to_string()),
            GeneralName::UniformResourceIdentifier(uri) => uris.push(uri.to_string()),
            _ => {}
        }
    }
    let attributes = content.subject().iter();
    let mut common_names = attributes
        .filter(|attribute| attribute.oid == COMMON_NAME)
        .map(|attribute| {
            let utf8 = attribute.value.decode_as::<Utf8StringRef<'_>>();
            let utf8 = utf8.map(|text| text.as_str().to_owned());
            utf8.or_else(|_| {
                let text = attribute.value.decode_as::<PrintableStringRef<'_>>()?;
                Ok::<_, x509_cert::der::Error>(text.as_str().to_owned())
            })
        });
    let common_name = match (common_names.next(), common_names.next()) {
        (Some(Ok(name)), None) => Some(name),
        _ => None,
    };
    Some(PeerCertificate {
        subject: EscapeControl(&content.subject().to_string()).to_string(),
        common_name,
        dns_names,
        emails,
        uris,
    })
}

/// Checks that a certificate is valid now.
///
/// # Errors
///
/// The problem, with the time at which the certificate expired or becomes valid. A certificate that
/// cannot be read has no such problem.
pub(super) fn check_validity(der: &CertificateDer<'_>) -> Result<(), String> {
    let Ok(certificate) = Certificate::from_der(der) else {
        return Ok(());
    };
    let validity = certificate.tbs_certificate().validity();
    let now = Duration::from_secs(UnixTime::now().as_secs());
    if validity.not_after.to_unix_duration() < now {
        return Err(format!(
            "the certificate in it expired at {}",
            validity.not_after
        ));
    }
    if validity.not_before.to_unix_duration() > now {
        return Err(format!(
            "the certificate in it is valid from {} only",
            validity.not_before
        ));
    }
    Ok(())
}
