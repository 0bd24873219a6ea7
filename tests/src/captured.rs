//! Outputs that a test reads.

use std::io::{Error, ErrorKind, Result, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt as _;

/// A writer that collects what is written, and fails on request. Clones share their content.
#[derive(Debug, Clone, Default)]
pub struct CapturedWriter(Arc<Captured>);

#[derive(Debug, Default)]
struct Captured {
    bytes: Mutex<Vec<u8>>,
    is_broken: AtomicBool,
}

impl CapturedWriter {
    /// Returns what was written.
    ///
    /// # Panics
    ///
    /// When it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes = self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(bytes.clone()).expect("the output is UTF-8")
    }

    /// Makes writes fail, or succeed again.
    pub fn set_broken(&self, is_broken: bool) {
        self.0.is_broken.store(is_broken, Ordering::SeqCst);
    }
}

impl Write for CapturedWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.0.is_broken.load(Ordering::SeqCst) {
            return Err(Error::from(ErrorKind::BrokenPipe));
        }
        let mut all = self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Collects the log of this thread until the guard is dropped.
///
/// A second subscriber exists as well: with one alone, `tracing` asks only the thread that comes
/// to a line of the log first whether anybody wants it, which may be that of another test.
#[must_use]
pub fn capture_log() -> (CapturedWriter, DefaultGuard) {
    static SECOND: OnceLock<Dispatch> = OnceLock::new();
    SECOND.get_or_init(|| tracing_subscriber::registry().with(LevelFilter::OFF).into());
    let log = CapturedWriter::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt().with_writer(move || writer.clone());
    let guard = tracing::subscriber::set_default(lines.finish());
    (log, guard)
}

/// Returns the bytes of the first request of `call`, which gets the URL of a server. The server
/// responds with 503.
///
/// # Panics
///
/// When the call sends no request with a JSON message.
pub async fn capture_request<F>(call: impl FnOnce(String) -> F) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    let call = tokio::spawn(call(format!("http://{address}")));
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"}") {
        let read = stream.read_buf(&mut bytes).await;
        assert_ne!(read.expect("an open connection"), 0, "a whole request");
    }
    let response = b"HTTP/1.1 503 x\r\ncontent-length: 0\r\n\r\n";
    stream
        .write_all(response)
        .await
        .expect("an open connection");
    call.await.expect("the call does not panic");
    String::from_utf8(bytes).expect("a request of text")
}
