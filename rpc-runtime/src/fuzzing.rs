//! Entry points to private readers, for the fuzz targets of this project. Not part of the API.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Response, StatusCode};
use tokio::io::DuplexStream;

use crate::error::Result;
use crate::flags::{Flags, FlagsFile};
use crate::logs::{self, Record};
use crate::protocol::connect;
use crate::server::inner::ServerInner;
use crate::server::{Server, client_behind_proxies, parse_proxy_header, serve_in_memory};

/// A server whose connections are in memory.
pub struct ServedConnection(Arc<ServerInner>);

impl ServedConnection {
    /// Makes an internal server.
    ///
    /// # Errors
    ///
    /// Those of the server.
    pub fn new(server: Server) -> Result<Self> {
        server.into_inner(&[]).map(Self)
    }

    /// Serves a connection until `done`.
    pub fn serve<F>(&self, io: DuplexStream, done: F) -> impl Future<Output = ()> + use<F>
    where
        F: Future<Output = ()>,
    {
        serve_in_memory(Arc::clone(&self.0), io, done)
    }
}

impl std::fmt::Debug for ServedConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServedConnection").finish_non_exhaustive()
    }
}

/// Reads a header of the PROXY protocol. Returns the address of the client and the length of the
/// header; `None` if more bytes are needed.
///
/// # Errors
///
/// The reason why the bytes are not a header.
pub fn read_proxy_header(
    bytes: &[u8],
) -> Result<Option<(Option<SocketAddr>, usize)>, &'static str> {
    parse_proxy_header(bytes)
}

/// Returns the address of the client of a request, where proxies in 10.0.0.0/8 are trusted.
#[must_use]
pub fn client_behind(peer: &str, headers: &HeaderMap) -> String {
    let Ok(peer) = peer.parse() else {
        return String::new();
    };
    client_behind_proxies(SocketAddr::new(peer, 1), headers)
        .ip()
        .to_string()
}

/// Reads a response as a client does, with a `limit` for its message in bytes.
///
/// # Errors
///
/// The error of the response, or that of reading it.
pub fn read_response(
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    limit: usize,
) -> Result<Bytes> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    connect::read_response(&response.into_parts().0, body, limit).result
}

/// Applies the text of a flags file.
///
/// # Errors
///
/// `invalid_argument` for an invalid line.
pub fn apply_flags_file(flags: &Flags, text: &str) -> Result<()> {
    flags.apply_file(&FlagsFile::of(PathBuf::from("flags"), text.to_owned()))
}

/// Returns the valid records of a segment of a log spool.
#[must_use]
pub fn read_segment(content: &[u8]) -> Vec<Record> {
    logs::read_segment(content)
}

/// Returns a segment with these records.
#[must_use]
pub fn write_segment(records: &[Record]) -> Vec<u8> {
    logs::write_segment(records)
}
