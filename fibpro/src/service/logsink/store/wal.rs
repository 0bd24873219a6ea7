//! Keeps the write-ahead log within its part of the size limit while searches or other processes
//! read the file.
//!
//! SQLite begins `-wal` anew only when no reader needs what is in it. Until then the log would grow
//! without bound, so records are refused; their senders keep them and send them again.

use std::fs;
use std::path::{Path, PathBuf};

use sqlx::SqliteConnection;

use super::error::{LogStoreError, LogStoreErrorKind};
use super::file;
use crate::sqlite::WalCheckpoints;

/// Upper estimate of the size of a record without its text, in bytes.
const RECORD_BYTES: u64 = 160;

/// Size of a page in the log, in bytes.
const FRAME_BYTES: u64 = 4096 + 24;

/// Maximum number of pages of an index that a transaction changes, in the estimate.
const MAX_INDEX_PAGES: u64 = 256;

/// Extra pages, such as those that say which pages are free.
const SPARE_PAGES: u64 = 32;

#[derive(Debug)]
pub(super) struct WalBound {
    path: PathBuf,
    /// Maximum length, in bytes.
    limit: u64,
    checkpoints: WalCheckpoints,
}

impl WalBound {
    /// Creates the bound for a file with this size limit, in bytes.
    pub(super) fn new(path: &Path, bytes: u64) -> Self {
        Self {
            path: file::with_suffix(path, "-wal"),
            limit: file::ahead(bytes),
            checkpoints: WalCheckpoints::default(),
        }
    }

    /// Empties `-wal` if a transaction that inserts `records` records with `bytes` bytes of text
    /// does not fit.
    ///
    /// # Errors
    ///
    /// If a reader still needs it.
    pub(super) async fn truncate_for(
        &mut self,
        connection: &mut SqliteConnection,
        records: u64,
        bytes: u64,
    ) -> Result<(), LogStoreError> {
        // As much is evicted as is inserted, and each request has its own page of the index.
        let pages = records.min(MAX_INDEX_PAGES) + SPARE_PAGES;
        let needed = 2 * (bytes + records * RECORD_BYTES) + pages * FRAME_BYTES;
        // A missing file is noticed elsewhere.
        let length = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        if length == 0 || length + needed <= self.limit {
            return Ok(());
        }
        if self
            .checkpoints
            .empty(connection, file::LOCK_TIMEOUT)
            .await?
        {
            return Ok(());
        }
        Err(LogStoreError::new(
            LogStoreErrorKind::Read,
            format!("-wal has {length} of {} bytes", self.limit),
        ))
    }
}
