//! HTTP proxies: their URL, and the tunnel through one (`CONNECT`).
//!
//! Hand-written because the tunnel of `hyper-util` does not tell with which status the proxy has
//! refused, and reads past the response.

use std::fmt;
use std::io;

use ::http::header::HeaderValue;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::transport::url::{self, Parsed, ServerUrl};
use crate::error::{Code, Error, Result};
use crate::protocol::{QUOTED, printable};
use crate::text::public_url;

/// The port of a proxy whose URL has none.
const PROXY_PORT: u16 = 80;

/// The maximum size of the head of the response to `CONNECT`, in bytes.
const HEAD_BYTES: usize = 8 << 10;

/// An HTTP proxy.
#[derive(Clone, PartialEq)]
pub(super) struct Proxy {
    host: String,
    port: u16,
    /// The value of `proxy-authorization`.
    credentials: Option<HeaderValue>,
}

impl Proxy {
    /// Parses a URL such as `http://proxy.example:3128` or `http://USER:PASSWORD@HOST:PORT`.
    ///
    /// # Errors
    ///
    /// `invalid_argument` with the reason, and without the password.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let parsed = Self::from_url(text);
        parsed.map_err(|problem| {
            let shown = public_url(text);
            let text =
                format!("invalid proxy URL `{shown}`: {problem}; expected `http://HOST:PORT`");
            Error::without_location(Code::InvalidArgument, text)
        })
    }

    fn from_url(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (plain, credentials) = match rest[..end].rsplit_once('@') {
            Some((user, host)) => (
                format!("{scheme}://{host}{}", &rest[end..]),
                Some(basic(user)?),
            ),
            None => (text.to_owned(), None),
        };
        match url::parse(&plain).map_err(String::from)? {
            Parsed::Socket(_) => Err("a proxy is not reached by a Unix socket".to_owned()),
            Parsed::Http(ServerUrl { https: true, .. }) => {
                Err("TLS to the proxy itself is not supported".to_owned())
            }
            Parsed::Http(ServerUrl { prefix, .. }) if !prefix.is_empty() => {
                Err("the URL of a proxy has no path".to_owned())
            }
            Parsed::Http(ServerUrl { host, port, .. }) => Ok(Self {
                host,
                port: port.unwrap_or(PROXY_PORT),
                credentials,
            }),
        }
    }

    pub(super) fn credentials(&self) -> Option<&HeaderValue> {
        self.credentials.as_ref()
    }

    /// Returns the host and port of the proxy.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Opens a tunnel to `target`, a host with its port. The caller must set a timeout.
    ///
    /// # Errors
    ///
    /// What is wrong, and what to do about it.
    pub(super) async fn tunnel(&self, tcp: &mut TcpStream, target: &str) -> Result<(), String> {
        let broken =
            |error: io::Error| format!("the connection to the proxy {self} broke: {error}");
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n").into_bytes();
        if let Some(credentials) = &self.credentials {
            request.extend_from_slice(b"proxy-authorization: ");
            request.extend_from_slice(credentials.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        tcp.write_all(&request).await.map_err(broken)?;
        let head = read_head(tcp).await.map_err(broken)?;
        let (status, line) = status(&head).ok_or_else(|| {
            format!("the proxy {self} did not respond with valid HTTP; check its URL")
        })?;
        match status {
            200..=299 => Ok(()),
            407 if self.credentials.is_none() => Err(format!(
                "the proxy {self} requires credentials; use `http://USER:PASSWORD@HOST:PORT` as its URL"
            )),
            407 => Err(format!(
                "the proxy {self} refused the credentials in its URL"
            )),
            _ => Err(format!(
                "the proxy {self} refused the tunnel to {target}: {line}"
            )),
        }
    }
}

/// Returns the header of credentials in the form of a URL.
fn basic(user: &str) -> Result<HeaderValue, String> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let mut plain: Vec<u8> = percent_decode_str(name).collect();
    plain.push(b':');
    plain.extend(percent_decode_str(password));
    let value = format!("Basic {}", BASE64_STANDARD.encode(plain));
    let mut value =
        HeaderValue::try_from(value).map_err(|_| "its credentials are not valid".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads up to the end of a head and no further: the server may be the first to send.
async fn read_head(tcp: &mut TcpStream) -> io::Result<Vec<u8>> {
    const END: &[u8] = b"\r\n\r\n";
    let mut head = Vec::new();
    let mut seen = [0; 512];
    while head.len() < HEAD_BYTES {
        let available = tcp.peek(&mut seen).await?;
        if available == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let start = head.len();
        head.extend_from_slice(&seen[..available]);
        // The end may have begun in the part before.
        let from = start.saturating_sub(END.len() - 1);
        let end = head[from..].windows(END.len()).position(|part| part == END);
        if let Some(end) = end {
            head.truncate(from + end + END.len());
        }
        let consumed = head.len() - start;
        tcp.read_exact(&mut seen[..consumed]).await?;
        if end.is_some() {
            return Ok(head);
        }
    }
    Err(io::Error::other("its response to CONNECT is too large"))
}

/// Returns the status of a response, and its first line without the version, in printable form.
fn status(head: &[u8]) -> Option<(u16, String)> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let rest = line
        .strip_prefix(b"HTTP/1.")
        .and_then(|rest| rest.get(2..))?;
    let status = std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()?;
    Some((status, printable(rest, QUOTED)))
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

/// Without the credentials.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_host_port_and_credentials() {
        for (url, shown, credentials) in [
            ("http://proxy.test:3128", "http://proxy.test:3128", None),
            ("HTTP://Proxy.test/", "http://proxy.test:80", None),
            ("http://[::1]:3128", "http://[::1]:3128", None),
            (
                "http://ada:lovelace@p:1",
                "http://p:1",
                Some("Basic YWRhOmxvdmVsYWNl"),
            ),
            (
                "http://a:b%40c%3A@p:1",
                "http://p:1",
                Some("Basic YTpiQGM6"),
            ),
            ("http://ada@p:1", "http://p:1", Some("Basic YWRhOg==")),
        ] {
            let proxy = Proxy::parse(url).unwrap();
            assert_eq!(proxy.to_string(), shown, "{url}");
            let written = proxy.credentials().map(|value| value.to_str().unwrap());
            assert_eq!(written, credentials, "{url}");
        }
    }

    #[test]
    fn errors_have_the_reason_and_no_password() {
        for (url, reason) in [
            ("proxy:3128", "the scheme"),
            ("", "the URL is empty"),
            ("https://u:canary@proxy:3128", "TLS to the proxy"),
            ("socks5://u:canary@proxy", "the scheme must be"),
            ("http://u:canary@proxy:0", "port 0"),
            ("http://proxy/path", "no path"),
            ("http://u:canary@:1", "the host is missing"),
            ("unix:/run/proxy.sock", "Unix socket"),
        ] {
            let error = Proxy::parse(url).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{url}");
            assert!(error.message().contains(reason), "{url}: {error}");
            assert!(!error.message().contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_status_line_is_read_as_bytes() {
        for (head, expected) in [
            (&b"HTTP/1.1 200 OK\r\n\r\n"[..], Some((200, "200 OK"))),
            (b"HTTP/1.0 407 x\x1b\r\n\r\n", Some((407, "407 x\\u{1b}"))),
            (b"HTTP/1.1 200\r\n\r\n", Some((200, "200"))),
            (b"HTTP/1.1 2\r\n\r\n", None),
            (b"HTTP/1.1\r\n\r\n", None),
            (b"SSH-2.0-x\r\n\r\n", None),
            (b"\r\n\r\n", None),
        ] {
            let read = status(head);
            let expected = expected.map(|(status, line)| (status, line.to_owned()));
            assert_eq!(read, expected, "{}", head.escape_ascii());
        }
    }
}
