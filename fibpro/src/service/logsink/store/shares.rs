//! Divides the space among sources and levels.
//!
//! Space is taken from the kind of records that has most of it. So a kind that others cannot fill
//! keeps its records, however many of another kind arrive: each of N kinds has an N-th of the space
//! at least.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rpc_runtime::Source;
use sqlx::SqliteConnection;

use super::error::LogStoreError;
use crate::api::logsink::Record;

/// Upper estimate of the size of a record without its text, in bytes: numbers and index entries.
pub(super) const RECORD_BYTES: u64 = 176;

/// Share of the records that were stored before there were shares. They are evicted first.
const LEGACY: i64 = 0;

/// Number and size of the records of one kind.
#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    records: u64,
    bytes: u64,
    is_changed: bool,
}

/// Server, environment and level of records.
type Kind = (String, String, i32);

/// The space that each kind of records occupies. Changes are saved by [`save`](Self::save).
#[derive(Debug)]
pub(super) struct Shares {
    ids: HashMap<Kind, i64>,
    usage: HashMap<i64, Usage>,
    /// Number of shares without records.
    empty: usize,
}

impl Shares {
    /// Loads the shares of a file.
    pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Self, LogStoreError> {
        type Row = (i64, String, String, i32, i64, i64);
        let rows: Vec<Row> =
            sqlx::query_as("SELECT id, server, environment, level, records, bytes FROM shares")
                .fetch_all(&mut *connection)
                .await?;
        let mut shares = Self {
            ids: HashMap::new(),
            usage: HashMap::new(),
            empty: 0,
        };
        for (id, server, environment, level, records, bytes) in rows {
            shares.ids.insert((server, environment, level), id);
            let usage = Usage {
                records: records.cast_unsigned(),
                bytes: bytes.cast_unsigned(),
                is_changed: false,
            };
            shares.empty += usize::from(usage.records == 0);
            shares.usage.insert(id, usage);
        }
        let legacy: i64 = sqlx::query_scalar("SELECT count(*) FROM records WHERE share = 0")
            .fetch_one(connection)
            .await?;
        let legacy = Usage {
            records: legacy.cast_unsigned(),
            ..Usage::default()
        };
        shares.usage.insert(LEGACY, legacy);
        Ok(shares)
    }

    /// Returns the number of all records.
    pub(super) fn records(&self) -> u64 {
        self.usage.values().map(|usage| usage.records).sum()
    }

    /// Counts a new record. Returns the ID of its share.
    pub(super) async fn add(
        &mut self,
        connection: &mut SqliteConnection,
        record: &Record,
    ) -> Result<i64, LogStoreError> {
        let id = self
            .id(connection, &record.source, record.level as i32)
            .await?;
        let usage = match self.usage.entry(id) {
            Entry::Occupied(known) => {
                self.empty -= usize::from(known.get().records == 0);
                known.into_mut()
            }
            Entry::Vacant(new) => new.insert(Usage::default()),
        };
        usage.records += 1;
        usage.bytes += text_bytes(record) as u64 + RECORD_BYTES;
        usage.is_changed = true;
        Ok(id)
    }

    async fn id(
        &mut self,
        connection: &mut SqliteConnection,
        source: &Source,
        level: i32,
    ) -> Result<i64, LogStoreError> {
        let (server, environment) = (source.server(), source.environment());
        let kind = (server.to_owned(), environment.to_owned(), level);
        if let Some(id) = self.ids.get(&kind) {
            return Ok(*id);
        }
        let id = sqlx::query_scalar(
            "INSERT INTO shares (server, environment, level, records, bytes) VALUES (?, ?, ?, 0, 0) RETURNING id",
        )
        .bind(server)
        .bind(environment)
        .bind(level)
        .fetch_one(connection)
        .await?;
        self.ids.insert(kind, id);
        Ok(id)
    }

    /// Deletes up to `count` of the oldest records of the largest share. Returns their number;
    /// `None` if there are no records.
    pub(super) async fn evict(
        &mut self,
        connection: &mut SqliteConnection,
        count: u64,
    ) -> Result<Option<u64>, LogStoreError> {
        let with_records = self.usage.iter_mut().filter(|(_, usage)| usage.records > 0);
        let largest = with_records.max_by_key(|(id, usage)| (**id == LEGACY, usage.bytes));
        let Some((id, usage)) = largest else {
            return Ok(None);
        };
        let id = *id;
        let (last, bytes): (Option<i64>, i64) = sqlx::query_as(
            "SELECT max(id), coalesce(sum(length(CAST(text AS BLOB)) + length(CAST(target AS BLOB)) \
             + coalesce(length(request_id), 0)), 0) \
             FROM (SELECT id, text, target, request_id FROM records WHERE share = ? ORDER BY id LIMIT ?)",
        )
        .bind(id)
        .bind(count.cast_signed())
        .fetch_one(&mut *connection)
        .await?;
        let deleted = sqlx::query("DELETE FROM records WHERE share = ? AND id <= ?")
            .bind(id)
            .bind(last)
            .execute(connection)
            .await?
            .rows_affected();
        usage.is_changed = true;
        if deleted == 0 {
            // Another program has deleted them.
            *usage = Usage {
                is_changed: true,
                ..Usage::default()
            };
        } else {
            usage.records = usage.records.saturating_sub(deleted);
            let bytes = bytes.cast_unsigned() + deleted * RECORD_BYTES;
            usage.bytes = usage.bytes.saturating_sub(bytes);
        }
        self.empty += usize::from(id != LEGACY && usage.records == 0);
        Ok(Some(deleted))
    }

    /// Saves what has changed, in the transaction of the records.
    pub(super) async fn save(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<(), LogStoreError> {
        for (id, usage) in &mut self.usage {
            if !std::mem::take(&mut usage.is_changed) || *id == LEGACY {
                continue;
            }
            sqlx::query("UPDATE shares SET records = ?, bytes = ? WHERE id = ?")
                .bind(usage.records.cast_signed())
                .bind(usage.bytes.cast_signed())
                .bind(id)
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }

    /// Deletes shares without records, if there are more than `max` of them, after
    /// [`save`](Self::save). So a pass over all shares deletes more than `max`, and shares with
    /// records cause none.
    pub(super) async fn forget_empty(
        &mut self,
        connection: &mut SqliteConnection,
        max: usize,
    ) -> Result<(), LogStoreError> {
        if self.empty <= max {
            return Ok(());
        }
        let usage = &mut self.usage;
        self.ids
            .retain(|_, id| usage.get(id).is_some_and(|usage| usage.records > 0));
        usage.retain(|id, usage| *id == LEGACY || usage.records > 0);
        self.empty = 0;
        let delete = "DELETE FROM shares WHERE records = 0 AND NOT EXISTS (SELECT 1 FROM records WHERE share = shares.id)";
        sqlx::query(delete).execute(connection).await?;
        Ok(())
    }
}

/// Returns the size of the texts of a record.
pub(super) fn text_bytes(record: &Record) -> usize {
    record.text.len()
        + record.target.len()
        + record.request_id.as_ref().map_or(0, |id| id.as_str().len())
}

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;

    use super::*;
    use crate::api::logsink::Level;

    async fn database() -> SqliteConnection {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for sql in [
            include_str!("migrations/1_records.sql"),
            include_str!("migrations/2_shares.sql"),
        ] {
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        }
        connection
    }

    /// Adds a record of each of so many servers, as [`super::super::insert`] does.
    async fn add(shares: &mut Shares, connection: &mut SqliteConnection, servers: usize) {
        for server in 0..servers {
            let source = format!("s{server}@prod/a").parse().unwrap();
            let time = "2026-11-22T12:25:34.021Z".parse().unwrap();
            let record = Record::new(source, time, Level::Info, "x");
            shares.add(connection, &record).await.unwrap();
        }
        shares.save(connection).await.unwrap();
    }

    async fn stored(connection: &mut SqliteConnection) -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM shares");
        count.fetch_one(connection).await.unwrap()
    }

    #[tokio::test]
    async fn shares_with_records_are_not_searched() {
        let mut connection = database().await;
        let mut shares = Shares::load(&mut connection).await.unwrap();
        add(&mut shares, &mut connection, 100).await;
        // Any statement on them would fail.
        let drop = "DROP TABLE records; DROP TABLE shares";
        sqlx::raw_sql(drop).execute(&mut connection).await.unwrap();
        shares.forget_empty(&mut connection, 10).await.unwrap();
        assert_eq!((shares.ids.len(), shares.empty), (100, 0));
    }

    #[tokio::test]
    async fn empty_shares_are_deleted_above_their_limit() {
        let mut connection = database().await;
        let mut shares = Shares::load(&mut connection).await.unwrap();
        add(&mut shares, &mut connection, 100).await;
        // The records are not in the table, so each eviction finds its share empty.
        for empty in 1..=60 {
            shares.evict(&mut connection, 1).await.unwrap().unwrap();
            assert_eq!(shares.empty, empty);
        }
        shares.save(&mut connection).await.unwrap();
        shares.forget_empty(&mut connection, 60).await.unwrap();
        assert_eq!(stored(&mut connection).await, 100);
        // They are known after a restart.
        let mut shares = Shares::load(&mut connection).await.unwrap();
        assert_eq!(shares.empty, 60);
        shares.forget_empty(&mut connection, 59).await.unwrap();
        assert_eq!((shares.ids.len(), shares.empty), (40, 0));
        assert_eq!(stored(&mut connection).await, 40);
        // A server that comes again has a share again.
        add(&mut shares, &mut connection, 100).await;
        assert_eq!((shares.ids.len(), shares.empty), (100, 0));
        assert_eq!(stored(&mut connection).await, 100);
    }

    #[tokio::test]
    async fn a_share_that_is_used_again_is_not_empty() {
        let mut connection = database().await;
        let mut shares = Shares::load(&mut connection).await.unwrap();
        add(&mut shares, &mut connection, 3).await;
        for _ in 0..3 {
            shares.evict(&mut connection, 1).await.unwrap().unwrap();
        }
        assert_eq!(shares.empty, 3);
        assert_eq!(shares.evict(&mut connection, 1).await.unwrap(), None);
        add(&mut shares, &mut connection, 2).await;
        assert_eq!(shares.empty, 1);
        shares.forget_empty(&mut connection, 0).await.unwrap();
        assert_eq!((shares.records(), shares.ids.len()), (2, 2));
        assert_eq!(stored(&mut connection).await, 2);
    }
}
