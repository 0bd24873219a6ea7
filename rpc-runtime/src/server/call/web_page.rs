//! Requests that a web page makes: what an internal listener without signatures refuses.
//!
//! A browser on this host connects from loopback, so any page that its user opens could call
//! services that trust their own host. A page of a name that its owner points at 127.0.0.1 (DNS
//! rebinding) is even of the same origin; only the `Host` gives it away.

use std::net::IpAddr;
use std::str::FromStr;

use http::header::{HOST, HeaderName, HeaderValue, ORIGIN};
use http::request;

use crate::error::{Code, Error};
use crate::protocol::authority::{host_of, is_local_name};
use crate::protocol::printable;

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The maximum length of received text in a message, in bytes.
const QUOTED: usize = 128;

/// The hosts by which a server is addressed, in addition to those of loopback.
#[derive(Debug, Default)]
pub(crate) struct OwnHosts {
    /// Names in lower case.
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    /// Whether some of them were given by `Server::host`.
    are_given: bool,
}

impl OwnHosts {
    pub(crate) fn new(names: Vec<String>, addresses: Vec<IpAddr>, are_given: bool) -> Self {
        Self {
            names,
            addresses,
            are_given,
        }
    }

    /// Returns whether an authority (`host` or `host:port`) is loopback or one of these hosts.
    ///
    /// An address that is not one of these is refused as well: no page has it by rebinding, but no
    /// caller on this host needs it either.
    fn contains(&self, authority: &str) -> bool {
        let Some(host) = host_of(authority) else {
            return false;
        };
        if let Ok(ip) = host.parse::<IpAddr>() {
            let ip = ip.to_canonical();
            return ip.is_loopback() || self.addresses.contains(&ip);
        }
        is_local_name(host) || self.has_name(host)
    }

    /// Returns whether a host is one by which the caller of a signed request may have addressed
    /// this server: the address of the connection, loopback by its name, or one of these hosts.
    pub(crate) fn include_signed(&self, host: &str, local: IpAddr) -> bool {
        let local = local.to_canonical();
        match host.parse::<IpAddr>() {
            Ok(ip) => {
                let ip = ip.to_canonical();
                ip == local
                    || (local.is_loopback() && ip.is_unspecified())
                    || self.addresses.contains(&ip)
            }
            Err(_) => (local.is_loopback() && is_local_name(host)) || self.has_name(host),
        }
    }

    /// Returns whether a host is one for which a mounted router takes signed requests: those that
    /// were given, or any host if there are none, as the router does not know its connections.
    pub(crate) fn include_mounted(&self, host: &str) -> bool {
        !self.are_given
            || match host.parse::<IpAddr>() {
                Ok(ip) => self.addresses.contains(&ip.to_canonical()),
                Err(_) => self.has_name(host),
            }
    }

    pub(crate) fn are_given(&self) -> bool {
        self.are_given
    }

    fn has_name(&self, host: &str) -> bool {
        let name = host.strip_suffix('.').unwrap_or(host);
        self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// A value of the `Host` header by which callers on the same machine reach a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OwnHost {
    Name(String),
    Address(IpAddr),
}

impl FromStr for OwnHost {
    type Err = String;

    /// Parses a name without a port, such as `pricing.test`, or an address.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !name.is_empty() && name.chars().all(is_allowed) {
            return Ok(Self::Name(name.to_owned()));
        }
        let shown = printable(text.as_bytes(), QUOTED);
        Err(if name.is_empty() {
            "the name is empty; expected a host such as `pricing.test`".to_owned()
        } else if text.contains("://") {
            format!("`{shown}` is a URL; write its host only, such as `pricing.test`")
        } else if host_of(text).is_some_and(|host| host.len() < text.len()) {
            format!("`{shown}` has a port; write the host only, which counts for every port")
        } else {
            format!(
                "`{shown}` is not a host; write one such as `pricing.test`, in ASCII and without `*`"
            )
        })
    }
}

/// Checks that a request is not one of a foreign web page.
///
/// # Errors
///
/// `permission_denied` for a `Host` that is not this server, for an `Origin` other than that of the
/// `Host`, and for a `Sec-Fetch-Site` of another site. Programs send neither of the last two.
pub(crate) fn check(head: &request::Parts, own: &OwnHosts) -> Result<(), Error> {
    let headers = &head.headers;
    let target = head.uri.authority().map(http::uri::Authority::as_str);
    let hosts = headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
    for host in hosts.chain(target.map(str::as_bytes)) {
        let is_own = std::str::from_utf8(host).is_ok_and(|host| own.contains(host));
        if !is_own {
            return Err(refused(format!(
                "`{}` is not a name of this server: use its address or `localhost`, or add the name with \
                 `--host-name` (`Server::host`)",
                printable(host, QUOTED)
            )));
        }
    }
    check_page(head)
}

/// Checks that a request is not one of a foreign web page, by the headers of browsers only: for
/// connections by which no page of another name reaches this server.
///
/// # Errors
///
/// `permission_denied`.
pub(crate) fn check_page(head: &request::Parts) -> Result<(), Error> {
    match foreign_page(head) {
        Some((header, value)) => Err(page(header, value)),
        None => Ok(()),
    }
}

/// Returns the header by which a request is one of a web page of another origin: a
/// `Sec-Fetch-Site` other than `same-origin` and `none`, or an `Origin` other than that of the
/// `Host`. Programs send neither.
///
/// For routes of an edge listener that change something and know their user by what a browser
/// sends along, as a cookie or a stored password. A browser that sends neither header is not
/// recognized: it sends `Sec-Fetch-Site` to `https` and to loopback only, and no `Origin` with a
/// simple `GET`.
///
/// ```
/// use rpc_runtime::axum::http::Request;
/// use rpc_runtime::foreign_page;
///
/// let request = Request::get("/10").header("sec-fetch-site", "cross-site");
/// let (head, ()) = request.body(())?.into_parts();
/// assert_eq!(foreign_page(&head).unwrap().0, "sec-fetch-site");
/// # Ok::<(), rpc_runtime::axum::http::Error>(())
/// ```
#[must_use]
pub fn foreign_page(head: &request::Parts) -> Option<(&'static str, &HeaderValue)> {
    let headers = &head.headers;
    let mut sites = headers.get_all(&SEC_FETCH_SITE).iter();
    if let Some(site) = sites.find(|site| !is_same_site(site)) {
        return Some(("sec-fetch-site", site));
    }
    let host = match head.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(HOST).and_then(|host| host.to_str().ok()),
    };
    let mut origins = headers.get_all(ORIGIN).iter();
    origins
        .find(|origin| !is_origin(origin, host))
        .map(|origin| ("origin", origin))
}

/// Returns whether the page is of the same origin, or the user has typed the address.
fn is_same_site(site: &HeaderValue) -> bool {
    site == "same-origin" || site == "none"
}

/// Returns whether the page has the origin of the request.
fn is_origin(origin: &HeaderValue, host: Option<&str>) -> bool {
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    matches!((origin, host), (Some((_, origin)), Some(host)) if origin.eq_ignore_ascii_case(host))
}

fn page(header: &str, value: &HeaderValue) -> Error {
    refused(format!(
        "this listener serves no web pages of other sites ({header}: {}); call an edge listener \
         (`Server::listen_edge`), or sign the calls (`Server::identity`)",
        printable(value.as_bytes(), QUOTED)
    ))
}

fn refused(text: String) -> Error {
    Error::without_location(Code::PermissionDenied, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> OwnHosts {
        OwnHosts::new(
            vec!["build-7".to_owned()],
            vec!["0.0.0.0".parse().unwrap(), "10.1.2.3".parse().unwrap()],
            false,
        )
    }

    fn head(lines: &[(&str, &str)]) -> request::Parts {
        let mut request = http::Request::post("/a.B/C");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn own_hosts() {
        for host in [
            "localhost",
            "LocalHost:9003",
            "localhost.",
            "shop.localhost:1",
            "127.0.0.1",
            "127.8.9.1:80",
            "[::1]",
            "[::1]:9003",
            "[::ffff:127.0.0.1]:1",
            "0.0.0.0:9003",
            "10.1.2.3",
            "build-7:9003",
            "BUILD-7",
        ] {
            assert!(own().contains(host), "{host}");
        }
        for host in [
            "",
            ":9003",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:9003",
            "xlocalhost",
            ".localhost.x",
            "10.1.2.4",
            "[::2]",
            "[::1",
            "::1",
            "[::1]x",
            "localhost:",
            "localhost:x",
            "a@localhost",
            "localhost@evil.example",
            "127.1",
            "0x7f.0.0.1",
            "build-8",
            "build-7.evil.example",
        ] {
            assert!(!own().contains(host), "{host}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        let name = |text: &str| Ok(OwnHost::Name(text.to_owned()));
        assert_eq!("pricing.test".parse(), name("pricing.test"));
        assert_eq!(" Build_7. ".parse(), name("Build_7"));
        for address in ["10.1.2.4", "::1", "[::1]", "::ffff:10.1.2.4"] {
            let parsed = address.parse::<OwnHost>();
            assert!(matches!(parsed, Ok(OwnHost::Address(_))), "{address}");
        }
        for (text, advice) in [
            ("", "is empty"),
            (".", "is empty"),
            ("http://pricing.test", "is a URL"),
            ("pricing.test:9003", "has a port"),
            ("[::1]:9003", "has a port"),
            ("*.test", "is not a host"),
            ("a b", "is not a host"),
            ("preis.täst", "in ASCII"),
            ("a/b", "is not a host"),
            ("\u{1b}[31m", "\\u{1b}"),
        ] {
            let error = text.parse::<OwnHost>().unwrap_err();
            assert!(error.contains(advice), "{text}: {error}");
        }
    }

    #[test]
    fn programs_and_own_pages_pass() {
        for lines in [
            &[("host", "127.0.0.1:9003")][..],
            &[],
            &[
                ("host", "localhost:9003"),
                ("origin", "http://localhost:9003"),
            ],
            &[
                ("host", "[::1]:1"),
                ("origin", "http://[::1]:1"),
                ("sec-fetch-site", "same-origin"),
            ],
            &[("host", "localhost"), ("sec-fetch-site", "none")],
        ] {
            assert!(check(&head(lines), &own()).is_ok(), "{lines:?}");
        }
    }

    #[test]
    fn foreign_pages_are_refused() {
        for lines in [
            &[("host", "evil.example:9003")][..],
            &[
                ("host", "evil.example:9003"),
                ("origin", "http://evil.example:9003"),
            ],
            &[
                ("host", "localhost:9003"),
                ("origin", "http://evil.example"),
            ],
            &[
                ("host", "localhost:9003"),
                ("origin", "http://localhost:8000"),
            ],
            &[("host", "localhost:9003"), ("origin", "null")],
            &[
                ("host", "localhost"),
                ("origin", "http://localhost"),
                ("origin", "http://evil.example"),
            ],
            &[("host", "localhost"), ("sec-fetch-site", "cross-site")],
            &[("host", "localhost"), ("sec-fetch-site", "same-site")],
            &[
                ("host", "localhost"),
                ("sec-fetch-site", "none"),
                ("sec-fetch-site", "cross-site"),
            ],
        ] {
            let error = check(&head(lines), &own()).unwrap_err();
            assert_eq!(error.code(), Code::PermissionDenied, "{lines:?}");
        }
    }

    #[test]
    fn the_authority_of_the_target_counts_too() {
        let mut parts = head(&[("host", "localhost")]);
        parts.uri = "http://evil.example/a.B/C".parse().unwrap();
        assert!(check(&parts, &own()).is_err());
        parts.uri = "http://localhost/a.B/C".parse().unwrap();
        assert!(check(&parts, &own()).is_ok());
    }
}
