//! The connector for HTTP over Unix sockets.
//!
//! Hand-written because it is small; `hyperlocal` would add a dependency for the same code.

use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::Uri;
use ::http::uri::{Authority, InvalidUri};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tower_service::Service;

use super::limits::CONNECT_TIMEOUT;

/// The suffix of a host that encodes the path of a socket. Host names cannot contain an underscore.
const SUFFIX: &str = "._unix";

/// Encodes the path of a socket as the authority of a URI, which is the key of a connection in the
/// pool.
pub(super) fn authority(path: &Path) -> Result<Authority, InvalidUri> {
    use std::fmt::Write as _;
    let mut host = String::new();
    for byte in path.as_os_str().as_bytes() {
        // Writing to a `String` cannot fail.
        let _ = write!(host, "{byte:02x}");
    }
    host.push_str(SUFFIX);
    host.parse()
}

/// Decodes the path of a socket from a URI. `None` if the host does not encode one.
fn path(uri: &Uri) -> Option<PathBuf> {
    let host = uri.host()?.strip_suffix(SUFFIX)?.as_bytes();
    let bytes: Option<Vec<u8>> = host
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    Some(std::ffi::OsString::from_vec(bytes?).into())
}

/// Connects to the socket that is encoded in a URI.
#[derive(Debug, Clone)]
pub(super) struct UnixConnector;

impl Service<Uri> for UnixConnector {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<UnixStream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(async move {
            let path = path(&uri).ok_or(ErrorKind::InvalidInput)?;
            let stream = timeout(CONNECT_TIMEOUT, UnixStream::connect(path)).await??;
            Ok(TokioIo::new(stream))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_survives_encoding_in_a_uri() {
        for text in ["/run/a.sock", "/var/with space/\u{e9}%?#@:", "/"] {
            let authority = authority(text.as_ref()).unwrap();
            let uri = Uri::builder()
                .scheme("http")
                .authority(authority)
                .path_and_query("/a.B/C")
                .build()
                .unwrap();
            assert_eq!(path(&uri).unwrap(), Path::new(text));
        }
        for other in ["http://127.0.0.1/", "http://zz._unix/"] {
            assert_eq!(path(&other.parse().unwrap()), None, "{other}");
        }
    }
}
