//! The URL that a client is given, taken apart once.

use std::sync::Arc;

use ::http::Uri;
use ::http::header::HeaderValue;
use ::http::uri::{Authority, PathAndQuery, Scheme};

use crate::error::{Code, Error, Result};

/// The port that a URL of plain `http` need not name.
const HTTP_PORT: u16 = 80;

/// A server's URL: scheme, host and port, and a prefix for servers that are mounted under a path.
#[derive(Debug, Clone)]
pub(super) struct Target {
    scheme: Scheme,
    authority: Authority,
    /// The authority as the header `host` has it.
    host: HeaderValue,
    /// Empty, or `/prefix` without a slash at its end.
    prefix: String,
    /// The URL of a Unix socket as it was given; its authority only stands for it.
    socket: Option<Arc<str>>,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self> {
        let refuse = |why: &str| {
            let shown: String = url.escape_debug().take(128).collect();
            // A password in a URL must not print.
            let shown = shown
                .rsplit_once('@')
                .map_or(shown.as_str(), |(_, host)| host);
            Error::unlocated(
                Code::InvalidArgument,
                format!(
                    "`{shown}` is no URL of a server: {why}; write `http://HOST:PORT` or `unix:/PATH`"
                ),
            )
        };
        if let Some(path) = url.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(refuse("the path of a socket begins with `/`"));
            }
            return Self::socket(url, path).map_err(refuse);
        }
        if url.contains('#') {
            return Err(refuse("it has a fragment"));
        }
        let uri: Uri = url.parse().map_err(|_| refuse("it does not parse"))?;
        let parts = uri.into_parts();
        let scheme = parts
            .scheme
            .ok_or_else(|| refuse("the scheme is missing"))?;
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(refuse("the scheme is neither http nor https"));
        }
        let authority = parts
            .authority
            .ok_or_else(|| refuse("the host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("credentials do not belong into a URL"));
        }
        let path = parts.path_and_query.as_ref();
        if path.is_some_and(|path| path.query().is_some()) {
            return Err(refuse("it has a query"));
        }
        let prefix = path
            .map_or("", PathAndQuery::path)
            .trim_end_matches('/')
            .to_owned();
        let host = match authority.port_u16() {
            None | Some(HTTP_PORT) => authority.host(),
            Some(_) => authority.as_str(),
        };
        let host = HeaderValue::from_str(host).map_err(|_| refuse("the host is no text"))?;
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
        let authority = super::unix::authority(path.as_ref()).map_err(|_| "it is too long")?;
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
        Err("there are no Unix sockets here")
    }

    pub(super) fn is_socket(&self) -> bool {
        self.socket.is_some()
    }

    pub(super) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The header `host` of requests over plain `http`.
    pub(super) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        match &self.socket {
            Some(socket) => socket.to_string(),
            None => format!("{}://{}{}", self.scheme, self.authority, self.prefix),
        }
    }

    /// The URI of a method.
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
            Error::unlocated(
                Code::Internal,
                format!("no URL for {}: {error}", self.text()),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_servers_and_prefixes() {
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
    fn takes_sockets() {
        let target = Target::parse("unix:/run/a.sock").unwrap();
        assert!(target.is_socket() && !target.is_https());
        assert_eq!(target.text(), "unix:/run/a.sock");
        assert_eq!(target.uri("/a.B/C").unwrap().path(), "/a.B/C");
    }

    #[test]
    fn refuses_everything_else_and_shows_no_password() {
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
