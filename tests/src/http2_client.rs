//! An HTTP/2 client by hand: it opens its windows as a test wants, which libraries do not allow.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::http2_frames::{
    ACK, CONTINUATION, END_HEADERS, END_STREAM, FrameHead, PING, SETTINGS, WINDOW_UPDATE, frame,
};
use crate::wait::within;

pub use crate::http2_frames::{DATA, GOAWAY, HEADERS, RST_STREAM};

/// The size of the largest frame that every peer accepts. Source: RFC 9113, section 6.5.2.
const FRAME: usize = 16 << 10;

/// A connection. It answers pings and settings while frames are read.
#[derive(Debug)]
pub struct Http2Client {
    stream: TcpStream,
    next: u32,
}

/// A received frame.
#[derive(Debug)]
pub struct Frame {
    /// Type of the frame, such as [`DATA`].
    pub kind: u8,
    /// Number of its stream; 0 for the connection.
    pub stream: u32,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Http2Client {
    /// Connects. Each stream begins with this window.
    ///
    /// # Panics
    ///
    /// When no server listens.
    pub async fn connect(address: SocketAddr, window: u32) -> Self {
        let stream = TcpStream::connect(address).await;
        Self::over(stream.expect("a server listens"), window).await
    }

    /// Connects from an address of this host, as [`connect`](Self::connect) does.
    ///
    /// # Panics
    ///
    /// When no server listens, or the address is not of this host.
    pub async fn connect_from(from: IpAddr, address: SocketAddr, window: u32) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        let bound = socket.bind(SocketAddr::new(from, 0));
        bound.expect("an address of this host");
        let stream = socket.connect(address).await;
        Self::over(stream.expect("a server listens"), window).await
    }

    async fn over(stream: TcpStream, window: u32) -> Self {
        let mut client = Self { stream, next: 1 };
        let mut settings = vec![0, 4];
        settings.extend(window.to_be_bytes());
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let sent = client.stream.write_all(preface).await;
        sent.expect("the server reads");
        let sent = client.send(SETTINGS, 0, 0, &settings).await;
        sent.expect("the server reads");
        client
    }

    /// Sends a call with a JSON message, and returns its stream.
    ///
    /// # Errors
    ///
    /// When the server has closed the connection.
    pub async fn call(&mut self, path: &str, message: &str) -> io::Result<u32> {
        self.begin(path, &[], "").await?;
        self.end(message).await
    }

    /// Sends the rest of the last request, and returns its stream.
    ///
    /// # Errors
    ///
    /// When the server has closed the connection.
    pub async fn end(&mut self, rest: &str) -> io::Result<u32> {
        let stream = self.next - 2;
        self.send(DATA, END_STREAM, stream, rest.as_bytes()).await?;
        Ok(stream)
    }

    /// Sends a request with more headers and the beginning of its body, and returns its stream.
    ///
    /// # Errors
    ///
    /// When the server has closed the connection.
    pub async fn begin(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<u32> {
        let stream = self.next;
        self.next += 2;
        // `:method: POST` and `:scheme: http` from the static table, the others with names from
        // there.
        let mut head = vec![0x83, 0x86];
        for (name, value) in [
            (&[0x04][..], path),
            (&[0x01], "localhost"),
            (&[0x0f, 0x10], "application/json"),
        ] {
            head.extend(name);
            push_text(&mut head, value);
        }
        for (name, value) in headers {
            head.push(0);
            push_text(&mut head, name);
            push_text(&mut head, value);
        }
        let mut kind = HEADERS;
        while head.len() > FRAME {
            let rest = head.split_off(FRAME);
            self.send(kind, 0, stream, &head).await?;
            (kind, head) = (CONTINUATION, rest);
        }
        self.send(kind, END_HEADERS, stream, &head).await?;
        if !body.is_empty() {
            self.send(DATA, 0, stream, body.as_bytes()).await?;
        }
        Ok(stream)
    }

    /// Opens the window of a stream, or of the connection with stream 0.
    ///
    /// # Errors
    ///
    /// When the server has closed the connection.
    pub async fn open_window(&mut self, stream: u32, bytes: u32) -> io::Result<()> {
        self.send(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
            .await
    }

    /// Reads the next frame, and answers pings. Returns `None` when the connection has ended.
    ///
    /// # Panics
    ///
    /// When the server is silent for too long.
    pub async fn frame(&mut self) -> Option<Frame> {
        within(self.read()).await.ok()
    }

    /// Reads the next frame.
    ///
    /// # Cancellation
    ///
    /// Dropping the future may lose a part of a frame.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub async fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await?;
        let FrameHead {
            length,
            kind,
            flags,
            stream,
        } = FrameHead::read(head);
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await?;
        if matches!(kind, PING | SETTINGS) && flags & ACK == 0 {
            let echo: &[u8] = if kind == PING { &payload } else { &[] };
            self.send(kind, ACK, 0, echo).await?;
        }
        Ok(Frame {
            kind,
            stream,
            payload,
        })
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let frame = frame(kind, flags, stream, payload);
        self.stream.write_all(&frame).await
    }
}

/// Appends a text without a code. Source: RFC 7541, sections 5.1 and 5.2.
fn push_text(head: &mut Vec<u8>, text: &str) {
    const PREFIX: usize = 127;
    let mut length = text.len();
    let short = u8::try_from(length).ok().filter(|short| *short < 127);
    head.push(short.unwrap_or(127));
    if short.is_none() {
        length -= PREFIX;
        while length >= 128 {
            head.push(length.to_le_bytes()[0] | 0x80);
            length /= 128;
        }
        head.push(length.to_le_bytes()[0]);
    }
    head.extend(text.as_bytes());
}
