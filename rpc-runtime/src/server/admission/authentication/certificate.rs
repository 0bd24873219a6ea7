//! Client certificates as users.

use std::fmt;
use std::future::ready;

use super::Authenticator;
use crate::context::{Context, PeerCertificate, Principal};
use crate::error::{Code, Error, Result};
use crate::middleware::BoxFuture;

/// Authenticates users by the verified client certificate of their connection, for edge listeners
/// that ask for one ([`ServerTlsConfig`](crate::ServerTlsConfig), feature `tls`).
///
/// Callers without a certificate have no credentials, so the next authenticator is asked. A
/// certificate that names no user is refused with `unauthenticated`. The client of a trusted proxy
/// that terminates TLS has no certificate here: that of the connection is the proxy's.
///
/// The names are those that the client authority has verified. So take one kind of name, and an
/// authority that gives each user one.
///
/// ```
/// use rpc_runtime::authentication::CertificateAuth;
/// use rpc_runtime::{Principal, Server};
///
/// let users = CertificateAuth::by_email();
/// let devices = CertificateAuth::new(|certificate| {
///     let [id] = certificate.uris() else { return None };
///     let id = id.strip_prefix("urn:shop:device:")?;
///     Some(Principal::new(format!("device-{id}")).with_role("device"))
/// });
/// # drop(users);
/// let server = Server::new("shop").authenticate(devices);
/// # drop(server);
/// ```
pub struct CertificateAuth {
    user_of: Box<UserOf>,
}

type UserOf = dyn Fn(&PeerCertificate) -> Option<Principal> + Send + Sync;

impl CertificateAuth {
    /// Creates an authenticator. `user_of` returns the user of a certificate, or `None` if it names
    /// none.
    pub fn new(
        user_of: impl Fn(&PeerCertificate) -> Option<Principal> + Send + Sync + 'static,
    ) -> Self {
        let user_of = Box::new(user_of);
        Self { user_of }
    }

    /// Creates an authenticator that takes the e-mail address of a certificate as the subject. A
    /// certificate with none or several is refused.
    #[must_use]
    pub fn by_email() -> Self {
        Self::new(|certificate| only(certificate.emails()))
    }

    /// Creates an authenticator that takes the URI of a certificate as the subject, such as a
    /// SPIFFE ID. A certificate with none or several is refused.
    #[must_use]
    pub fn by_uri() -> Self {
        Self::new(|certificate| only(certificate.uris()))
    }

    /// Creates an authenticator that takes the common name of a certificate as the subject. A
    /// certificate with none or several is refused.
    #[must_use]
    pub fn by_common_name() -> Self {
        Self::new(|certificate| certificate.common_name().map(Principal::new))
    }
}

fn only(names: &[String]) -> Option<Principal> {
    match names {
        [name] => Some(Principal::new(name)),
        _ => None,
    }
}

impl Authenticator for CertificateAuth {
    fn authenticate(&self, context: Context) -> BoxFuture<Result<Option<Principal>>> {
        let outcome = context.own_certificate().map(|certificate| {
            (self.user_of)(certificate).ok_or_else(|| {
                let rule = format!("the certificate is that of {certificate}");
                let text = "the client certificate names no user of this server";
                Error::without_location(Code::Unauthenticated, text).with_source(rule)
            })
        });
        Box::pin(ready(outcome.transpose()))
    }

    fn has_credentials(&self, context: &Context) -> bool {
        context.own_certificate().is_some()
    }
}

impl fmt::Debug for CertificateAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateAuth")
    }
}
