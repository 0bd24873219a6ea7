//! HTTP/1 over a raw socket: sends exactly the bytes that a test writes, without the framework's
//! client.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::wait::within;

/// A connection and the bytes received and not yet parsed.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    arrived: Vec<u8>,
}

/// Error of a connection that was closed or broke before the response was complete.
#[derive(Debug)]
pub struct Ended {
    /// The part of the response that had arrived.
    pub arrived: Vec<u8>,
    /// The system's error if the connection broke.
    pub error: Option<io::Error>,
}

impl Raw {
    /// Connects.
    ///
    /// # Panics
    ///
    /// When no server listens.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("a server listens"))
    }

    /// Connects from another address of this host, such as `127.0.0.2`.
    ///
    /// # Panics
    ///
    /// When no server listens, or the system has no such address.
    pub async fn connect_from(from: IpAddr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind((from, 0).into())
            .expect("an address of this host");
        Self::over(socket.connect(address).await.expect("a server listens"))
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a TCP socket");
        Self {
            stream,
            arrived: Vec::new(),
        }
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// When the server has closed the connection.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Sends a request and reads its response.
    ///
    /// # Panics
    ///
    /// When the server closes the connection instead.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        self.send(request).await.expect("the server reads");
        self.response().await
    }

    /// Reads one response.
    ///
    /// # Panics
    ///
    /// When the server closes the connection instead, or is silent for too long.
    pub async fn response(&mut self) -> Response {
        self.try_response().await.expect("a response")
    }

    /// Reads one response.
    ///
    /// # Errors
    ///
    /// When the connection ends before the response is complete.
    ///
    /// # Panics
    ///
    /// When the server is silent for too long, or sends something that is not valid HTTP.
    pub async fn try_response(&mut self) -> Result<Response, Ended> {
        loop {
            if let Some((response, length)) = Response::parse(&self.arrived) {
                self.arrived.drain(..length);
                return Ok(response);
            }
            match self.read().await {
                Ok(1..) => {}
                Ok(0) => {
                    return Err(Ended {
                        arrived: std::mem::take(&mut self.arrived),
                        error: None,
                    });
                }
                Err(error) => {
                    return Err(Ended {
                        arrived: std::mem::take(&mut self.arrived),
                        error: Some(error),
                    });
                }
            }
        }
    }

    /// Waits until the server closes the connection. Returns the bytes that arrived.
    ///
    /// # Panics
    ///
    /// When the server keeps it open.
    pub async fn closed(&mut self) -> Vec<u8> {
        // A reset also closes the connection.
        while let Ok(1..) = self.read().await {}
        std::mem::take(&mut self.arrived)
    }

    /// Closes the sending half; reading stays possible.
    ///
    /// # Panics
    ///
    /// When the connection is broken.
    pub async fn half_close(&mut self) {
        self.stream.shutdown().await.expect("an open connection");
    }

    /// Returns the socket.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    async fn read(&mut self) -> io::Result<usize> {
        within(self.stream.read_buf(&mut self.arrived)).await
    }
}

/// A response as received.
#[derive(Debug)]
pub struct Response {
    /// The number of the status line.
    pub status: u16,
    /// Names in lower case and values, in the order received.
    pub headers: Vec<(String, String)>,
    /// The bytes after the headers.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the first response in `bytes` and its length if it is complete.
    fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&bytes[..end]).expect("the head of a response is text");
        let mut lines = head.lines();
        let status_line = lines.next().expect("a status line");
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|header| header.0 == "content-length");
        let is_chunked = headers.iter().any(|header| header.0 == "transfer-encoding");
        let (body, length) = if is_chunked {
            chunks(&bytes[end..])?
        } else {
            let length: usize =
                length.map_or(0, |header| header.1.parse().expect("a length is a number"));
            (bytes.get(end..end + length)?.to_vec(), length)
        };
        let status = status.unwrap_or_else(|| panic!("no status line: {status_line}"));
        Some((
            Self {
                status,
                headers,
                body,
            },
            end + length,
        ))
    }

    /// Returns the value of a header.
    ///
    /// # Panics
    ///
    /// When the header occurs more than once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|header| header.0 == name)
            .map(|header| header.1.as_str());
        let value = values.next();
        assert!(
            values.next().is_none(),
            "header {name} occurs twice: {self:?}"
        );
        value
    }

    /// Returns the body as JSON.
    ///
    /// # Panics
    ///
    /// When the body is not valid JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/json"),
            "{self:?}"
        );
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("invalid JSON ({error}): {self:?}"))
    }

    /// Returns the status and the code of an error.
    #[must_use]
    pub fn error(&self) -> (u16, String) {
        let code = self.json()["code"].as_str().unwrap_or("no code").to_owned();
        (self.status, code)
    }

    /// Returns the text of an error.
    #[must_use]
    pub fn message(&self) -> String {
        self.json()["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Returns the status and the result of a success.
    #[must_use]
    pub fn value(&self) -> (u16, serde_json::Value) {
        (self.status, self.json()["result"].clone())
    }
}

/// Returns the content of a chunked body and its length with the chunks, if it is complete.
fn chunks(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = bytes[at..]
            .windows(2)
            .position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..at + line]).expect("a size is text");
        let size = usize::from_str_radix(size, 16).expect("a size is a number");
        at += line + 2;
        let data = bytes.get(at..at + size + 2)?;
        body.extend_from_slice(&data[..size]);
        at += size + 2;
        if size == 0 {
            return Some((body, at));
        }
    }
}

/// Builds a request with these header lines, preceded by `Host` and followed by `Content-Length`.
#[must_use]
pub fn request(verb: &str, target: &str, lines: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{verb} {target} HTTP/1.1\r\nHost: localhost\r\n");
    for (name, value) in lines {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if !body.is_empty() || verb == "POST" {
        let _ = write!(head, "Content-Length: {}\r\n", body.len());
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

/// Builds a `POST` of JSON.
#[must_use]
pub fn post(target: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    request(
        "POST",
        target,
        &[("Content-Type", "application/json")],
        body.as_ref(),
    )
}

/// Builds a `POST` of JSON with additional header lines.
#[must_use]
pub fn post_with(target: &str, lines: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let lines: Vec<_> = [("Content-Type", "application/json")]
        .iter()
        .chain(lines)
        .copied()
        .collect();
    request("POST", target, &lines, body.as_ref())
}
