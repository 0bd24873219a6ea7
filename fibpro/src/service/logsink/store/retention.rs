//! Enforces the size limit: evicts the oldest records before new ones are inserted.

use sqlx::SqliteConnection;

use super::error::LogStoreError;
use super::file;

/// Upper estimate of the size of a record without its text, in bytes: numbers and index entries.
const RECORD_BYTES: u64 = 160;

/// Extra pages for what the estimate does not include, such as half-empty pages.
const SPARE_PAGES: u64 = 32;

/// Minimum number of records per eviction, because computing the free space costs time.
const MIN_EVICTION: u64 = 256;

/// Size limit and current number of records of a file.
#[derive(Debug)]
pub(super) struct Retention {
    page_bytes: u64,
    /// Maximum number of pages of the file.
    bound: u64,
    /// Number of records in the file.
    records: u64,
}

impl Retention {
    /// Reads the size of the file. Shrinks the file if it exceeds `bytes`, write-ahead log
    /// included.
    pub(super) async fn new(
        connection: &mut SqliteConnection,
        bytes: u64,
    ) -> Result<Self, LogStoreError> {
        let page_bytes = number(connection, "PRAGMA page_size").await?.max(512);
        let records = number(connection, "SELECT count(*) FROM records").await?;
        let bound = (bytes - file::ahead(bytes)) / page_bytes;
        let mut retention = Self {
            page_bytes,
            bound,
            records,
        };
        if number(connection, "PRAGMA page_count").await? > bound {
            let removed = retention.evict_until_fits(connection, 0, 0, 0).await?;
            retention.update_count(0, removed);
            sqlx::query("PRAGMA incremental_vacuum")
                .execute(&mut *connection)
                .await?;
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
                .execute(&mut *connection)
                .await?;
        }
        // If the estimate is too low, SQLite reports a full disk instead of growing the file beyond
        // the limit.
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "PRAGMA max_page_count = {bound}"
        )))
        .execute(&mut *connection)
        .await?;
        Ok(retention)
    }

    /// Deletes the oldest records until `records` records with `bytes` bytes of text fit. Also
    /// frees the `spare`th part of the limit, if `spare` is not 0. Returns the number of deleted
    /// records.
    pub(super) async fn evict_until_fits(
        &mut self,
        connection: &mut SqliteConnection,
        records: u64,
        bytes: u64,
        spare: u64,
    ) -> Result<u64, LogStoreError> {
        let needed = (bytes + records * RECORD_BYTES) / self.page_bytes
            + SPARE_PAGES
            + self.bound.checked_div(spare).unwrap_or_default();
        let mut removed = 0;
        while self.records > removed {
            let pages = number(connection, "PRAGMA page_count").await?;
            let free = number(connection, "PRAGMA freelist_count").await?;
            let used = pages.saturating_sub(free);
            let Some(excess) = (used + needed)
                .checked_sub(self.bound)
                .filter(|pages| *pages > 0)
            else {
                break;
            };
            let left = self.records - removed;
            // The average number of records on the missing pages.
            let count = (excess * left / used.max(1)).max(MIN_EVICTION).min(left);
            let outcome = sqlx::query(
                "DELETE FROM records WHERE id <= (SELECT id FROM records ORDER BY id LIMIT 1 OFFSET ?)",
            )
            .bind(count.cast_signed() - 1)
            .execute(&mut *connection)
            .await?;
            removed += outcome.rows_affected();
        }
        Ok(removed)
    }

    /// Returns the number of records in the file.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Updates the number of records after a committed transaction.
    pub(super) fn update_count(&mut self, added: u64, removed: u64) {
        self.records = (self.records + added).saturating_sub(removed);
    }
}

async fn number(
    connection: &mut SqliteConnection,
    sql: &'static str,
) -> Result<u64, LogStoreError> {
    let number: i64 = sqlx::query_scalar(sql).fetch_one(connection).await?;
    Ok(number.cast_unsigned())
}
