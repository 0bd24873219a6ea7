//! An HTTP/2 client by hand: it opens its windows as a test wants, which libraries do not allow.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::wait::within;

/// A frame with data of a response.
pub const DATA: u8 = 0;
/// A frame with the headers of a response.
pub const HEADERS: u8 = 1;
/// A frame that resets a stream.
pub const RST_STREAM: u8 = 3;
/// A frame that announces the end of the connection.
pub const GOAWAY: u8 = 7;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

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
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.stream.read_exact(&mut payload).await?;
        let (kind, flags) = (head[3], head[4]);
        if matches!(kind, PING | SETTINGS) && flags & ACK == 0 {
            let echo: &[u8] = if kind == PING { &payload } else { &[] };
            self.send(kind, ACK, 0, echo).await?;
        }
        Ok(Frame {
            kind,
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).await
    }
}
