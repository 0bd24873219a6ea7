//! The URL of a server, parsed once.

use std::sync::Arc;

use ::http::Uri;
use ::http::header::HeaderValue;
use ::http::uri::{Authority, PathAndQuery, Scheme};

use crate::error::{Code, Error, Result};

/// The default port of `http`.
const HTTP_PORT: u16 = 80;

/// The URL of a server: scheme, host, port, and a path prefix for servers that are mounted under
/// one.
#[derive(Debug, Clone)]
pub(super) struct Target {
    scheme: Scheme,
    authority: Authority,
    /// The value of the `host` header.
    host: HeaderValue,
    /// Empty, or `/prefix` without a trailing slash.
    prefix: String,
    /// The URL of a Unix socket as given; `authority` then holds the encoded path.
    socket: Option<Arc<str>>,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self> {
        let invalid = |why: &str| {
            let shown: String = url.escape_debug().take(128).collect();
            // A password in the URL must not be shown.
            let shown = shown
                .rsplit_once('@')
                .map_or(shown.as_str(), |(_, host)| host);
            Error::without_location(
                Code::InvalidArgument,
                format!(
                    "invalid server URL `{shown}`: {why}; expected `http://HOST:PORT` or `unix:/PATH`"
                ),
            )
        };
        if let Some(path) = url.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(invalid("the path of a socket must begin with `/`"));
            }
            return Self::socket(url, path).map_err(invalid);
        }
        if url.contains('#') {
            return Err(invalid("the URL contains a fragment"));
        }
        let uri: Uri = url
            .parse()
            .map_err(|_| invalid("the URL cannot be parsed"))?;
        let parts = uri.into_parts();
        let scheme = parts
            .scheme
            .ok_or_else(|| invalid("the scheme is missing"))?;
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(invalid("the scheme must be http or https"));
        }
        let authority = parts
            .authority
            .ok_or_else(|| invalid("the host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(invalid("the URL contains credentials"));
        }
        let path = parts.path_and_query.as_ref();
        if path.is_some_and(|path| path.query().is_some()) {
            return Err(invalid("the URL contains a query"));
        }
        let prefix = path
            .map_or("", PathAndQuery::path)
            .trim_end_matches('/')
            .to_owned();
        let host = match authority.port_u16() {
            None | Some(HTTP_PORT) => authority.host(),
            Some(_) => authority.as_str(),
        };
        let host = HeaderValue::from_str(host)
            .map_err(|_| invalid("the host is not valid in a header"))?;
        Ok(Self {
            scheme,
            authority,
            host,
            prefix,
            socket: None,
        })
    }

    #[cfg(unix)]
    fn socket(url: &str, path: &str) -> Result<Self, &'static str> {
        let authority =
            super::unix::authority(path.as_ref()).map_err(|_| "the socket path is too long")?;
        Ok(Self {
            scheme: Scheme::HTTP,
            authority,
            host: HeaderValue::from_static("localhost"),
            prefix: String::new(),
            socket: Some(url.into()),
        })
    }

    #[cfg(not(unix))]
    fn socket(_: &str, _: &str) -> Result<Self, &'static str> {
        Err("Unix sockets are not supported on this platform")
    }

    pub(super) fn is_socket(&self) -> bool {
        self.socket.is_some()
    }

    pub(super) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Returns the `host` header of requests over plain `http`.
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

    /// Returns the URI of the method at `path`.
    pub(super) fn uri(&self, path: &'static str) -> Result<Uri> {
        let path = if self.prefix.is_empty() {
            Ok(PathAndQuery::from_static(path))
        } else {
            PathAndQuery::try_from(format!("{}{path}", self.prefix)).map_err(::http::Error::from)
        };
        let uri = path.and_then(|path| {
            Uri::builder()
                .scheme(self.scheme.clone())
                .authority(self.authority.clone())
                .path_and_query(path)
                .build()
        });
        uri.map_err(|error| {
            Error::without_location(
                Code::Internal,
                format!("failed to build a request URL for {}: {error}", self.text()),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_servers_and_prefixes() {
        let target = Target::parse("http://127.0.0.1:9002").unwrap();
        assert_eq!(target.uri("/a.B/C").unwrap(), "http://127.0.0.1:9002/a.B/C");
        let target = Target::parse("http://[::1]:9002/api/").unwrap();
        assert_eq!(target.uri("/a.B/C").unwrap(), "http://[::1]:9002/api/a.B/C");
        assert_eq!(target.text(), "http://[::1]:9002/api");
        assert_eq!(target.host(), "[::1]:9002");
        assert_eq!(Target::parse("http://a:80").unwrap().host(), "a");
        assert_eq!(Target::parse("http://a").unwrap().host(), "a");
    }

    #[cfg(unix)]
    #[test]
    fn accepts_sockets() {
        let target = Target::parse("unix:/run/a.sock").unwrap();
        assert!(target.is_socket() && !target.is_https());
        assert_eq!(target.text(), "unix:/run/a.sock");
        assert_eq!(target.uri("/a.B/C").unwrap().path(), "/a.B/C");
    }

    #[test]
    fn rejects_all_others_and_shows_no_password() {
        for bad in [
            "",
            "127.0.0.1:9002",
            "localhost",
            "ftp://a",
            "http://",
            "http://a?b=c",
            "http://a#b",
            "file:///etc",
            "http://a b",
            "unix:",
            "unix:relative",
        ] {
            let error = Target::parse(bad).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{bad}");
        }
        let error = Target::parse("http://user:canary@a")
            .unwrap_err()
            .to_string();
        assert!(!error.contains("canary"), "{error}");
    }
}
