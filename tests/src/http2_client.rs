//! An HTTP/2 client by hand: it opens its windows as a test wants, which libraries do not allow.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http2_frames::{
    ACK, END_HEADERS, END_STREAM, FrameHead, PING, SETTINGS, WINDOW_UPDATE, frame,
};
use crate::wait::within;

pub use crate::http2_frames::{DATA, GOAWAY, HEADERS, RST_STREAM};

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
        let mut client = Self {
            stream: stream.expect("a server listens"),
            next: 1,
        };
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
            head.push(u8::try_from(value.len()).map_err(io::Error::other)?);
            head.extend(value.as_bytes());
        }
        self.send(HEADERS, END_HEADERS, stream, &head).await?;
        self.send(DATA, END_STREAM, stream, message.as_bytes())
            .await?;
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
