//! The peer of a call: its address, and the names of its certificate.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// The verified client certificate of a peer, by its names; see
/// [`Context::peer_certificate`](crate::Context::peer_certificate).
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    pub(crate) subject: String,
    pub(crate) common_name: Option<String>,
    pub(crate) dns_names: Vec<String>,
    pub(crate) emails: Vec<String>,
    pub(crate) uris: Vec<String>,
}

impl PeerCertificate {
    /// Returns the subject, in the form of RFC 4514, such as `CN=gatekeeper,O=Shop`. Empty if the
    /// certificate has none.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns the common name of the subject, if there is exactly one.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// Returns the DNS names among the subject alternative names.
    #[must_use]
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    /// Returns the e-mail addresses among the subject alternative names.
    #[must_use]
    pub fn emails(&self) -> &[String] {
        &self.emails
    }

    /// Returns the URIs among the subject alternative names, such as a SPIFFE ID.
    #[must_use]
    pub fn uris(&self) -> &[String] {
        &self.uris
    }

    /// Returns whether the certificate is that of a server with this name, as in
    /// [`Server::new`](crate::Server::new): a DNS name is `name` or begins with `name.`, or a URI
    /// of the scheme `spiffe` ends with `/name`. The common name counts if the certificate has
    /// neither DNS names nor URIs.
    #[must_use]
    pub fn is_of_server(&self, name: &str) -> bool {
        let is_label = |dns: &String| {
            let label = dns.split('.').next().unwrap_or_default();
            dns.eq_ignore_ascii_case(name) || label.eq_ignore_ascii_case(name)
        };
        let is_spiffe = |uri: &String| {
            let path = uri.strip_prefix("spiffe://");
            path.and_then(|path| path.rsplit_once('/'))
                .is_some_and(|(_, last)| last == name)
        };
        if self.dns_names.is_empty() && self.uris.is_empty() {
            return self.common_name.as_deref() == Some(name);
        }
        !name.is_empty() && (self.dns_names.iter().any(is_label) || self.uris.iter().any(is_spiffe))
    }
}

/// Prints the names as one text, such as `gatekeeper.shop.test`: the first DNS name, URI, or the
/// subject.
impl fmt::Display for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = self.dns_names.iter().chain(&self.uris);
        f.write_str(names.next().unwrap_or(&self.subject))
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCertificate")
            .field("subject", &self.subject)
            .field("dns_names", &self.dns_names)
            .field("uris", &self.uris)
            .finish_non_exhaustive()
    }
}

/// The facts that a server knows of the peer of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct PeerInfo {
    pub(crate) address: Option<SocketAddr>,
    pub(crate) certificate: Option<Arc<PeerCertificate>>,
    /// Whether a proxy has passed the request on, and stated its client.
    pub(crate) forwarded: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(dns: &[&str], uris: &[&str], common_name: Option<&str>) -> PeerCertificate {
        let all = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        PeerCertificate {
            subject: String::new(),
            common_name: common_name.map(str::to_owned),
            dns_names: all(dns),
            emails: Vec::new(),
            uris: all(uris),
        }
    }

    #[test]
    fn a_certificate_is_that_of_a_named_server() {
        for (certificate, name, expected) in [
            (certificate(&["pricing"], &[], None), "pricing", true),
            (
                certificate(&["a", "Pricing.shop.test"], &[], None),
                "pricing",
                true,
            ),
            (
                certificate(&["pricing.shop.test"], &[], None),
                "pricing.shop.test",
                true,
            ),
            (
                certificate(&[], &["spiffe://prod/ns/pricing"], None),
                "pricing",
                true,
            ),
            (certificate(&[], &[], Some("pricing")), "pricing", true),
            // The end of a name is not its beginning.
            (certificate(&["my-pricing"], &[], None), "pricing", false),
            (certificate(&["shop.pricing"], &[], None), "pricing", false),
            (
                certificate(&["pricing2.shop.test"], &[], None),
                "pricing",
                false,
            ),
            (
                certificate(&[], &["https://prod/pricing"], None),
                "pricing",
                false,
            ),
            (
                certificate(&[], &["spiffe://pricing"], None),
                "pricing",
                false,
            ),
            // The common name does not add to the alternative names.
            (
                certificate(&["logsink"], &[], Some("pricing")),
                "pricing",
                false,
            ),
            (
                certificate(&[".shop.test"], &["spiffe://prod/"], None),
                "",
                false,
            ),
            (certificate(&[], &[], None), "pricing", false),
        ] {
            assert_eq!(
                certificate.is_of_server(name),
                expected,
                "{certificate:?} {name}"
            );
        }
    }
}
