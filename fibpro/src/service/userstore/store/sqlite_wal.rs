//! Keeps `-wal` of an SQLite database short while others read.
//!
//! SQLite moves changes into the main file by itself, but it begins `-wal` anew only when no reader
//! needs what is in it. Readers that follow each other without a gap, or one that holds a snapshot,
//! let it grow without bound.

use sqlx::SqliteConnection;

use super::error::StoreError;
use super::lock_wait::LOCK_TIMEOUT;
use super::sqlite_file::DatabaseFiles;
use crate::sqlite::WalCheckpoints;

/// Length from which `-wal` is emptied, in bytes; a quarter of the limit if that is less.
const MARK: u64 = 16 << 20;

#[derive(Debug)]
pub(super) struct WalBound {
    limit: u64,
    checkpoints: WalCheckpoints,
    is_reached: bool,
}

impl WalBound {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            checkpoints: WalCheckpoints::default(),
            is_reached: false,
        }
    }

    /// Empties `-wal` if it is long, before a transaction.
    ///
    /// # Errors
    ///
    /// If another process still reads it and the limit is reached.
    pub(super) async fn keep(
        &mut self,
        connection: &mut SqliteConnection,
        files: &DatabaseFiles,
    ) -> Result<(), StoreError> {
        let length = files.wal_length();
        if length > MARK.min(self.limit / 4)
            && !self.checkpoints.empty(connection, LOCK_TIMEOUT).await?
            && length >= self.limit
        {
            if !std::mem::replace(&mut self.is_reached, true) {
                tracing::error!(
                    "{} has {} MiB, because another process has been reading the users' database for long: nothing is \
                     changed until it ends",
                    files.wal_path().display(),
                    length >> 20
                );
            }
            return Err(StoreError::WalFull);
        }
        if std::mem::take(&mut self.is_reached) {
            tracing::warn!("{} is short again", files.wal_path().display());
        }
        Ok(())
    }
}
