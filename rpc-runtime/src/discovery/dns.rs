//! The addresses of a host name.

use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;

use super::poll::{Found, Outcome, poll};
use super::{Addresses, Discover, DynamicAddresses};
use crate::error::{Code, Error, Result};
use crate::text::public_url;

/// The time between two lookups.
const INTERVAL: Duration = Duration::from_secs(5);

/// The port of `http` without one.
const HTTP_PORT: u16 = 80;

/// The addresses to which a host name resolves (records A and AAAA), such as those of a headless
/// service of Kubernetes. Calls are balanced between them.
///
/// The name is looked up by the resolver of the system, again every 5 s, because that resolver
/// tells no TTL. A lookup that fails is logged, and the last addresses stay. Without this, a
/// [`Client`](crate::Client) of a name looks it up when it opens a connection, and uses one
/// address.
///
/// ```no_run
/// use rpc_runtime::{Client, discovery::DnsAddresses};
///
/// # async fn example() -> rpc_runtime::Result<()> {
/// let client = Client::discover(DnsAddresses::resolve("http://pricing.shop.svc:9004").await?);
/// # drop(client);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct DnsAddresses(DynamicAddresses);

impl DnsAddresses {
    /// Looks up the host of a URL, and again every 5 s on a task until the client is dropped.
    ///
    /// A name that is not known yet is no error: calls fail with `unavailable` until it is.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for anything but an `http` URL with a host and without a path. A server
    /// of `https` proves its name, which an address does not have.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub async fn resolve(url: &str) -> Result<Self> {
        Self::resolve_every(url, INTERVAL).await
    }

    /// Looks up the host of a URL as [`resolve`](Self::resolve) does, in this interval.
    ///
    /// # Errors
    ///
    /// As [`resolve`](Self::resolve).
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub async fn resolve_every(url: &str, interval: Duration) -> Result<Self> {
        let host = host_of(url).ok_or_else(|| {
            let shown = public_url(url);
            let text = format!("invalid URL `{shown}` of a host name: expected `http://HOST:PORT`");
            Error::without_location(Code::InvalidArgument, text)
        })?;
        let list = DynamicAddresses::new(host.clone(), Vec::<String>::new());
        let first = look_up(host.clone()).await;
        poll(&list, interval, first, move || look_up(host.clone()));
        Ok(Self(list))
    }
}

impl Discover for DnsAddresses {
    fn name(&self) -> String {
        self.0.name()
    }

    fn addresses(&self) -> Addresses {
        self.0.addresses()
    }
}

/// Returns the host and the port of a URL.
fn host_of(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let is_plain =
        uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") && uri.query().is_none();
    let authority = uri.authority().filter(|_| is_plain)?;
    if authority.as_str().contains('@') {
        return None;
    }
    let port = match authority.port() {
        Some(port) => port.as_str().parse().ok().filter(|port| *port != 0)?,
        // `host:` has an empty port, and `host:99999` none that `Uri` accepts.
        None if authority.as_str() != authority.host() => return None,
        None => HTTP_PORT,
    };
    (!authority.host().is_empty()).then(|| format!("{}:{port}", authority.host()))
}

async fn look_up(host: String) -> Outcome {
    let found = tokio::net::lookup_host(&host).await;
    let mut found: Vec<SocketAddr> = found.map_err(|error| format!("{host}: {error}"))?.collect();
    if found.is_empty() {
        return Err(format!("{host}: no addresses"));
    }
    // Resolvers rotate their answers, which is no change.
    found.sort_unstable();
    found.dedup();
    let urls = found.iter().map(|address| format!("http://{address}"));
    Ok(Found::new(urls.collect(), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_is_looked_up() {
        for (url, host) in [
            ("http://pricing:9004", Some("pricing:9004")),
            ("http://pricing.shop.svc/", Some("pricing.shop.svc:80")),
            ("http://[::1]:9", Some("[::1]:9")),
            ("https://pricing", None),
            ("http://pricing/v1", None),
            ("http://pricing?x", None),
            ("http://ada:secret@pricing", None),
            ("http://pricing:0", None),
            ("http://pricing:99999", None),
            ("pricing:9004", None),
            ("", None),
        ] {
            assert_eq!(host_of(url).as_deref(), host, "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_resolves_to_its_addresses() {
        let list = DnsAddresses::resolve("http://127.0.0.1:9004")
            .await
            .unwrap();
        let urls: Vec<_> = list.addresses().iter().map(ToString::to_string).collect();
        assert_eq!(urls, ["http://127.0.0.1:9004"]);
        let local = DnsAddresses::resolve("http://localhost:9004")
            .await
            .unwrap();
        assert!(!local.addresses().is_empty());
        // A name that is not known yet.
        let missing = DnsAddresses::resolve("http://nothing.invalid:1")
            .await
            .unwrap();
        assert!(missing.addresses().is_empty());
        assert_eq!(missing.name(), "nothing.invalid:1");
        let error = DnsAddresses::resolve("nothing").await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
    }
}
