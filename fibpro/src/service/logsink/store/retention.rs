//! Enforces the size limit: evicts old records before new ones are inserted.

use sqlx::{Connection as _, SqliteConnection};

use super::error::LogStoreError;
use super::file;
use super::shares::{RECORD_BYTES, Shares};

/// Extra pages for what the estimate does not include, such as half-empty pages.
const SPARE_PAGES: u64 = 32;

/// Minimum number of records per eviction, because computing the free space costs time.
const MIN_EVICTION: u64 = 256;

/// Number of shares without records above which they are deleted.
const MAX_EMPTY: usize = 1024;

/// Size limit and usage of a file.
#[derive(Debug)]
pub(super) struct Retention {
    page_bytes: u64,
    /// Maximum number of pages of the file.
    bound: u64,
    /// Number of records in the file after the last transaction.
    records: u64,
    /// `None` after a transaction that was rolled back: they are loaded again.
    shares: Option<Shares>,
}

impl Retention {
    /// Reads the size of the file. Shrinks the file if it exceeds `bytes`, write-ahead log
    /// included.
    pub(super) async fn new(
        connection: &mut SqliteConnection,
        bytes: u64,
    ) -> Result<Self, LogStoreError> {
        let page_bytes = number(connection, "PRAGMA page_size").await?.max(512);
        let bound = (bytes - file::ahead(bytes)) / page_bytes;
        let shares = Shares::load(connection).await?;
        let mut retention = Self {
            page_bytes,
            bound,
            records: shares.records(),
            shares: Some(shares),
        };
        if number(connection, "PRAGMA page_count").await? > bound {
            while retention.shrink(connection).await? {}
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

    /// Deletes the oldest records of the largest shares until `records` records with `bytes` bytes
    /// of text fit. Also frees the `spare`th part of the limit, if `spare` is not 0. Returns the
    /// number of deleted records.
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
        while let Some(deleted) = self.evict(connection, needed).await? {
            removed += deleted;
        }
        Ok(removed)
    }

    /// Returns the number of records in the file.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Deletes some records in an own transaction. Returns whether the file is still too large.
    async fn shrink(&mut self, connection: &mut SqliteConnection) -> Result<bool, LogStoreError> {
        let mut transaction = connection.begin().await?;
        let deleted = self.evict(&mut transaction, SPARE_PAGES).await?;
        self.save(&mut transaction).await?;
        transaction.commit().await?;
        Ok(deleted.is_some())
    }

    /// Deletes records if fewer than `needed` pages are free. Returns their number; `None` if
    /// enough pages are free or there are no records.
    async fn evict(
        &mut self,
        connection: &mut SqliteConnection,
        needed: u64,
    ) -> Result<Option<u64>, LogStoreError> {
        let pages = number(connection, "PRAGMA page_count").await?;
        let free = number(connection, "PRAGMA freelist_count").await?;
        let used = pages.saturating_sub(free);
        let excess = (used + needed).saturating_sub(self.bound);
        if excess == 0 {
            return Ok(None);
        }
        let shares = self.shares(connection).await?;
        // The average number of records on the missing pages.
        let count = (excess * shares.records() / used.max(1)).max(MIN_EVICTION);
        shares.evict(connection, count).await
    }

    /// Returns the shares, and loads them first where that is necessary.
    pub(super) async fn shares(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<&mut Shares, LogStoreError> {
        let shares = match self.shares.take() {
            Some(shares) => shares,
            None => Shares::load(connection).await?,
        };
        Ok(self.shares.insert(shares))
    }

    /// Saves the shares, in the transaction that has changed them.
    pub(super) async fn save(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<(), LogStoreError> {
        let shares = self.shares(connection).await?;
        shares.save(connection).await?;
        shares.forget_empty(connection, MAX_EMPTY).await?;
        self.records = shares.records();
        Ok(())
    }

    /// Forgets the shares, after a transaction was rolled back.
    pub(super) fn forget(&mut self) {
        self.shares = None;
    }
}

async fn number(
    connection: &mut SqliteConnection,
    sql: &'static str,
) -> Result<u64, LogStoreError> {
    let number: i64 = sqlx::query_scalar(sql).fetch_one(connection).await?;
    Ok(number.cast_unsigned())
}
