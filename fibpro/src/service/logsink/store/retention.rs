//! The bound of the file: the oldest records make room for new ones before those are written.

use sqlx::SqliteConnection;

use super::error::LogStoreError;
use super::file;

/// What the indices and the numbers of a record take, in bytes; more than they do.
const RECORD_BYTES: u64 = 160;

/// Pages that may be needed for reasons that are not counted, such as half-empty ones.
const SPARE: u64 = 32;

/// How many records are removed at least, since looking for room is not free.
const STEP: u64 = 256;

/// How much room there is.
#[derive(Debug)]
pub(super) struct Retention {
    page_bytes: u64,
    /// The pages that the file may have.
    bound: u64,
    /// The records in it.
    records: u64,
}

impl Retention {
    /// Looks at a file that may have `bytes`, with what is written ahead of it. Makes it smaller if it is too large.
    pub(super) async fn new(
        connection: &mut SqliteConnection,
        bytes: u64,
    ) -> Result<Self, LogStoreError> {
        let page_bytes = number(connection, "PRAGMA page_size").await?.max(512);
        let records = number(connection, "SELECT count(*) FROM records").await?;
        let bound = (bytes - file::ahead(bytes)) / page_bytes;
        let mut room = Self {
            page_bytes,
            bound,
            records,
        };
        if number(connection, "PRAGMA page_count").await? > bound {
            let removed = room.evict_until_fits(connection, 0, 0, 0).await?;
            room.note(0, removed);
            sqlx::query("PRAGMA incremental_vacuum")
                .execute(&mut *connection)
                .await?;
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
                .execute(&mut *connection)
                .await?;
        }
        // Where the estimate is wrong SQLite says that the disk is full, and the file stays as large as it may be.
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "PRAGMA max_page_count = {bound}"
        )))
        .execute(&mut *connection)
        .await?;
        Ok(room)
    }

    /// Removes the oldest records until there is room for `records` with `bytes` of text, and for a part of the bound
    /// beyond that: 0 for none, else the `spare`th part. Returns how many were removed.
    pub(super) async fn evict_until_fits(
        &mut self,
        connection: &mut SqliteConnection,
        records: u64,
        bytes: u64,
        spare: u64,
    ) -> Result<u64, LogStoreError> {
        let needed = (bytes + records * RECORD_BYTES) / self.page_bytes
            + SPARE
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
            // As many as such a number of pages holds on average.
            let count = (excess * left / used.max(1)).max(STEP).min(left);
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

    /// What has become of a transaction: how many records came and went.
    pub(super) fn note(&mut self, added: u64, removed: u64) {
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
