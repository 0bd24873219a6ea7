//! Inserts records into the tables.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use rpc_runtime::{RequestId, Source};
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::super::sequence::{RangeSet, SequenceTracker};
use super::error::{LogStoreError, LogStoreErrorKind};
use super::shares::Shares;
use crate::api::logsink::Record;

/// Numbers of records per statement. The rest of a group uses the smaller sizes, so only three
/// statements are prepared.
const SIZES: [usize; 3] = [128, 16, 1];

/// Number of cached source rows above which sources without records are deleted.
const SOURCES: usize = 4096;

/// Inserts records and tracks the rows of their sources.
#[derive(Debug)]
pub(super) struct Tables {
    statements: [Arc<str>; 3],
    sources: HashMap<Source, i64>,
    /// ID of the last record.
    last: i64,
}

impl Tables {
    /// Reads the last ID from the tables.
    pub(super) async fn new(connection: &mut SqliteConnection) -> Result<Self, LogStoreError> {
        let last = "SELECT max(coalesce((SELECT max(id) FROM records), 0), coalesce((SELECT max(used) FROM lives), 0))";
        let last = sqlx::query_scalar(last).fetch_one(connection).await?;
        let statements = SIZES.map(|size| {
            let rows = vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"; size].join(", ");
            let columns =
                "id, source, epoch, sequence, request_id, time, level, target, text, share";
            format!("INSERT INTO records ({columns}) VALUES {rows}").into()
        });
        Ok(Self {
            statements,
            sources: HashMap::new(),
            last,
        })
    }

    /// Returns the ID of the last record.
    pub(super) fn last(&self) -> u64 {
        self.last.cast_unsigned()
    }

    /// Inserts records in order.
    pub(super) async fn add(
        &mut self,
        connection: &mut SqliteConnection,
        records: &[&Record],
        shares: &mut Shares,
    ) -> Result<(), LogStoreError> {
        let now = Timestamp::now().as_microsecond();
        let mut rest = records;
        for (size, statement) in SIZES.into_iter().zip(self.statements.clone()) {
            while let Some((rows, behind)) = rest.split_at_checked(size) {
                let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&statement)));
                for record in rows {
                    let source = self.source(connection, &record.source).await?;
                    let share = shares.add(connection, record).await?;
                    self.last = now.max(self.last + 1);
                    query = query
                        .bind(self.last)
                        .bind(source)
                        .bind(record.epoch.map(u64::cast_signed))
                        .bind(record.sequence.map(u64::cast_signed))
                        .bind(record.request_id.as_ref().map(RequestId::as_str))
                        .bind(record.time.as_unix_micros())
                        .bind(record.level as i32)
                        .bind(record.target.as_str())
                        .bind(record.text.as_str())
                        .bind(share);
                }
                query.execute(&mut *connection).await?;
                rest = behind;
            }
        }
        Ok(())
    }

    /// Returns the row of a source, and inserts it if it is missing.
    async fn source(
        &mut self,
        connection: &mut SqliteConnection,
        source: &Source,
    ) -> Result<i64, LogStoreError> {
        if let Some(row) = self.sources.get(source) {
            return Ok(*row);
        }
        let row = sqlx::query_scalar(
            "INSERT INTO sources (server, environment, instance) VALUES (?, ?, ?) \
             ON CONFLICT DO UPDATE SET server = server RETURNING id",
        )
        .bind(source.server())
        .bind(source.environment())
        .bind(source.instance())
        .fetch_one(connection)
        .await?;
        self.sources.insert(source.clone(), row);
        Ok(row)
    }

    /// Deletes sources without records, if many sources are cached.
    pub(super) async fn forget_sources(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<(), LogStoreError> {
        if self.sources.len() > SOURCES {
            self.forget();
            sqlx::query("DELETE FROM sources WHERE id NOT IN (SELECT source FROM records)")
                .execute(connection)
                .await?;
        }
        Ok(())
    }

    /// Clears the cache of rows, after a transaction was rolled back.
    pub(super) fn forget(&mut self) {
        self.sources.clear();
    }

    /// Saves the sequence numbers of the sessions of these records, and deletes evicted sessions.
    pub(super) async fn remember(
        &self,
        connection: &mut SqliteConnection,
        records: &[&Record],
        seen: &mut SequenceTracker,
    ) -> Result<(), LogStoreError> {
        let sessions: HashSet<_> = records
            .iter()
            .filter_map(|record| {
                record.sequence?;
                Some((&record.source, record.epoch?))
            })
            .collect();
        for (source, epoch) in sessions {
            let Some(sequences) = seen.sequences(source, epoch) else {
                continue;
            };
            sqlx::query(
                "INSERT INTO lives (source, epoch, sequences, used) VALUES (?, ?, ?, ?) \
                 ON CONFLICT DO UPDATE SET sequences = excluded.sequences, used = excluded.used",
            )
            .bind(source.as_str())
            .bind(epoch.cast_signed())
            .bind(sequences.to_string())
            .bind(self.last)
            .execute(&mut *connection)
            .await?;
        }
        for (source, epoch) in seen.forget() {
            sqlx::query("DELETE FROM lives WHERE source = ? AND epoch = ?")
                .bind(source.as_str())
                .bind(epoch.cast_signed())
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }
}

/// Loads the sequence numbers that earlier processes stored.
pub(super) async fn seen(
    connection: &mut SqliteConnection,
) -> Result<SequenceTracker, LogStoreError> {
    let sessions: Vec<(String, i64, String)> =
        sqlx::query_as("SELECT source, epoch, sequences FROM lives ORDER BY used")
            .fetch_all(connection)
            .await?;
    let mut seen = SequenceTracker::default();
    for (source, epoch, sequences) in sessions {
        let source: Source = source.parse().map_err(damaged)?;
        let sequences: RangeSet = sequences.parse().map_err(damaged)?;
        seen.restore(source, epoch.cast_unsigned(), sequences);
    }
    Ok(seen)
}

fn damaged(error: impl ToString) -> LogStoreError {
    LogStoreError::new(LogStoreErrorKind::Corrupt, error)
}
