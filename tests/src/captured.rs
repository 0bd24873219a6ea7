//! Outputs that a test reads.

use std::io::{Error, ErrorKind, Result, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
