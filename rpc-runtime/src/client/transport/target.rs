//! The URL of a server, parsed once.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use ::http::Uri;
use ::http::header::HeaderValue;
use ::http::uri::{Authority, PathAndQuery, Scheme};

use super::url::{self, Parsed, ServerUrl};
use crate::error::{Code, Error, Result};
use crate::protocol::authority::is_loopback_host;
use crate::text::public_url;

/// The default ports of `http` and `https`.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// The host of requests over a Unix socket.
const SOCKET_HOST: &str = "localhost";

/// The URL of a server: scheme, host, port, and a path prefix for servers that are mounted under
/// one.
#[derive(Debug, Clone)]
pub(super) struct TransportTarget {
    scheme: Scheme,
    authority: Authority,
    /// The value of the `host` header.
    host: HeaderValue,
    /// Empty, or `/prefix` without a trailing slash.
    prefix: String,
    /// The URL of a Unix socket as given; `authority` then holds the encoded path.
    socket: Option<Arc<str>>,
    is_this_host: bool,
}

impl TransportTarget {
    pub(super) fn parse(url: &str) -> Result<Self> {
        let parsed = url::parse(url).and_then(|parsed| match parsed {
            Parsed::Http(parts) => Self::http(parts),
            Parsed::Socket(path) => Self::socket(&path),
        });
        parsed.map_err(|problem| {
            let shown = public_url(url);
            Error::without_location(
                Code::InvalidArgument,
                format!(
                    "invalid server URL `{shown}`: {problem}; expected `http://HOST:PORT` or `unix:/PATH`"
                ),
            )
        })
    }

    fn http(parts: ServerUrl) -> Result<Self, Cow<'static, str>> {
        let ServerUrl {
            https,
            host,
            port,
            prefix,
        } = parts;
        let is_this_host = is_loopback_host(&host);
        let authority = match port {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        let default_port = if https { HTTPS_PORT } else { HTTP_PORT };
        let host = match port {
            Some(port) if port != default_port => &authority,
            _ => &host,
        };
        let host = HeaderValue::from_str(host).map_err(|_| "the host is not valid in a header")?;
        let authority =
            Authority::try_from(authority).map_err(|_| "the host is not valid in a URL")?;
        Ok(Self {
            scheme: if https { Scheme::HTTPS } else { Scheme::HTTP },
            authority,
            host,
            prefix,
            socket: None,
            is_this_host,
        })
    }

    #[cfg(unix)]
    fn socket(path: &str) -> Result<Self, Cow<'static, str>> {
        // The system limits the length of the path to about 100 bytes.
        std::os::unix::net::SocketAddr::from_pathname(path)
            .map_err(|error| format!("the path cannot be that of a socket: {error}"))?;
        let authority =
            super::unix::authority(path.as_ref()).map_err(|_| "the socket path is too long")?;
        Ok(Self {
            scheme: Scheme::HTTP,
            authority,
            host: HeaderValue::from_static(SOCKET_HOST),
            prefix: String::new(),
            socket: Some(format!("unix:{path}").into()),
            is_this_host: true,
        })
    }

    #[cfg(not(unix))]
    fn socket(_: &str) -> Result<Self, Cow<'static, str>> {
        Err("Unix sockets are not supported on this platform".into())
    }

    /// Returns whether both are URLs of one server. The default port may be written or not.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let parts = |target: &Self| {
            let default = if target.is_https() {
                HTTPS_PORT
            } else {
                HTTP_PORT
            };
            let port = target.authority.port_u16().unwrap_or(default);
            (target.is_https(), port)
        };
        parts(self) == parts(other)
            && self.authority.host() == other.authority.host()
            && self.prefix == other.prefix
            && self.socket == other.socket
    }

    pub(super) fn is_socket(&self) -> bool {
        self.socket.is_some()
    }

    pub(super) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Returns whether the server is on this host: a loopback address, a name that always is one,
    /// or a Unix socket.
    pub(super) fn is_this_host(&self) -> bool {
        self.is_this_host
    }

    /// Returns the `host` header of requests.
    pub(super) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Returns the URL in printable form.
    pub(super) fn text(&self) -> String {
        match &self.socket {
            Some(socket) => socket.to_string(),
            None => format!("{}://{}{}", self.scheme, self.authority, self.prefix),
        }
    }

    /// Returns the authority, which for a socket encodes its path.
    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Returns the length of the path before that of a method.
    pub(super) fn prefix_len(&self) -> usize {
        self.prefix.len()
    }

    /// Returns the URI of the method at `path`, with a query if there is one.
    pub(super) fn uri(&self, path: &'static str, query: Option<&str>) -> Result<Uri> {
        let path = match query {
            None if self.prefix.is_empty() => Ok(PathAndQuery::from_static(path)),
            None => PathAndQuery::try_from(format!("{}{path}", self.prefix)),
            Some(query) => PathAndQuery::try_from(format!("{}{path}?{query}", self.prefix)),
        };
        let uri = path.map_err(::http::Error::from).and_then(|path| {
            Uri::builder()
                .scheme(self.scheme.clone())
                .authority(self.authority.clone())
                .path_and_query(path)
                .build()
        });
        uri.map_err(|error| self.invalid_uri(&error))
    }

    /// Returns a URI of a Unix socket with a host that can be sent.
    pub(super) fn socket_uri(&self, uri: Uri) -> Result<Uri> {
        let mut parts = uri.into_parts();
        parts.authority = Some(Authority::from_static(SOCKET_HOST));
        Uri::from_parts(parts).map_err(|error| self.invalid_uri(&error))
    }

    fn invalid_uri(&self, error: &dyn fmt::Display) -> Error {
        let target = self.text();
        let text = format!("failed to build a request URL for {target}: {error}");
        Error::without_location(Code::Internal, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_servers_and_prefixes() {
        let target = TransportTarget::parse("http://127.0.0.1:9002").unwrap();
        assert_eq!(
            target.uri("/a.B/C", None).unwrap(),
            "http://127.0.0.1:9002/a.B/C"
        );
        let target = TransportTarget::parse("http://[::1]:9002/api/").unwrap();
        assert_eq!(
            target.uri("/a.B/C", None).unwrap(),
            "http://[::1]:9002/api/a.B/C"
        );
        assert_eq!(target.text(), "http://[::1]:9002/api");
        assert_eq!(target.host(), "[::1]:9002");
        assert_eq!(TransportTarget::parse("http://a:80").unwrap().host(), "a");
        assert_eq!(TransportTarget::parse("http://a").unwrap().host(), "a");
        let target = TransportTarget::parse("HTTP://A/x/").unwrap();
        assert_eq!(target.text(), "http://a/x");
        assert_eq!(
            target.uri("/a.B/C", Some("b=c")).unwrap(),
            "http://a/x/a.B/C?b=c"
        );
    }

    #[test]
    fn one_server_has_several_urls() {
        let is_same = |one, two| {
            let parse = |url| TransportTarget::parse(url).unwrap();
            parse(one).is_same(&parse(two))
        };
        for (one, two) in [
            ("http://a", "http://a:80/"),
            ("http://a:0080", "HTTP://A"),
            ("https://a", "https://a:443"),
            ("http://[::1]:9002", "http://[0:0::1]:9002/"),
            ("http://a/x", "http://a:80/x/"),
            ("unix:/run/a.sock", "unix:///run/a.sock"),
        ] {
            assert!(is_same(one, two), "{one} {two}");
        }
        for (one, two) in [
            ("http://a", "https://a"),
            ("http://a", "http://a:443"),
            ("https://a", "https://a:80"),
            ("http://a/x", "http://a/X"),
            ("http://a", "http://b"),
            ("unix:/run/a.sock", "unix:/run/b.sock"),
        ] {
            assert!(!is_same(one, two), "{one} {two}");
        }
    }

    #[test]
    fn loopback_is_this_host() {
        for (url, expected) in [
            ("http://127.0.0.1:9002", true),
            ("https://127.9.9.9", true),
            ("http://[::1]:9002/x", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("http://localhost:9002", true),
            ("http://a.LOCALHOST", true),
            ("unix:/run/a.sock", true),
            ("http://10.0.0.7:9002", false),
            ("http://0.0.0.0:9002", true),
            ("http://[::]:9002", true),
            ("http://localhost.example", false),
            ("http://127.0.0.1.example", false),
            ("https://api.example", false),
        ] {
            let target = TransportTarget::parse(url);
            assert!(
                target.is_ok_and(|it| it.is_this_host() == expected),
                "{url}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn accepts_sockets() {
        let target = TransportTarget::parse("unix:/run/a.sock").unwrap();
        assert!(target.is_socket() && !target.is_https());
        assert_eq!(target.text(), "unix:/run/a.sock");
        assert_eq!(target.uri("/a.B/C", None).unwrap().path(), "/a.B/C");
    }

    #[cfg(unix)]
    #[test]
    fn rejects_paths_that_no_socket_can_have() {
        let long = format!("unix:/{}", "x".repeat(200));
        let error = TransportTarget::parse(&long).unwrap_err();
        assert!(error.message().contains("socket"), "{error}");
    }

    #[test]
    fn the_error_has_the_url_and_the_reason() {
        let error = TransportTarget::parse("http://127.0.0.1:99999").unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert_eq!(
            error.message(),
            "invalid server URL `http://127.0.0.1:99999`: the port 99999 is above 65535; expected \
             `http://HOST:PORT` or `unix:/PATH`"
        );
        let error = TransportTarget::parse("http://user:canary@a").unwrap_err();
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}
