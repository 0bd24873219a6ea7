//! Converts a query to SQL and runs it.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use rpc_runtime::{Code, Error, RequestId, Source, logs};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::error::{LogStoreError, LogStoreErrorKind};
use crate::api::logsink::{
    Level, Page, QUERY_DEFAULT, QUERY_LIMIT, Query, Record, SEARCH_LIMIT, StoredRecord,
};

/// Maximum size of the records of a page as JSON, in bytes. Below the limit of a message.
const PAGE_BYTES: usize = 3 << 20;

/// Number of steps of SQLite after which a search looks whether its time is up: some 0.1 ms.
const STEPS: i32 = 10_000;

const COLUMNS: &str = "SELECT records.id, server, environment, instance, epoch, sequence, request_id, time, level, \
     target, text FROM records CROSS JOIN sources ON sources.id = records.source WHERE records.id <= ";

/// A validated [`Query`].
#[derive(Debug, Clone)]
pub(in super::super) struct Filter {
    query: Query,
    /// Server, environment and instance; a missing part matches every value.
    source: Option<(String, Option<String>, Option<String>)>,
    limit: u32,
    /// Only records with a larger ID match.
    pub(in super::super) after: Option<u64>,
}

impl Filter {
    /// Validates a query.
    ///
    /// # Errors
    ///
    /// `invalid_argument`, with the name of the argument.
    pub(in super::super) fn new(query: &Query) -> Result<Self, Error> {
        let limit = query.limit.unwrap_or(QUERY_DEFAULT);
        if !(1..=QUERY_LIMIT).contains(&limit) {
            return Err(invalid(
                "limit",
                format!("must be 1 to {QUERY_LIMIT} records, not {limit}"),
            ));
        }
        if let Some(text) = &query.text
            && text.len() > SEARCH_LIMIT
        {
            let problem = format!("must have at most {SEARCH_LIMIT} bytes, not {}", text.len());
            return Err(invalid("text", problem));
        }
        if query
            .after
            .is_some_and(|after| i64::try_from(after).is_err())
        {
            return Err(invalid("after", "is larger than any record ID".to_owned()));
        }
        Ok(Self {
            source: query.source.as_deref().map(source_parts).transpose()?,
            limit,
            after: query.after,
            query: query.clone(),
        })
    }

    fn sql(&self, head: i64) -> QueryBuilder<Sqlite> {
        let query = &self.query;
        let mut sql = QueryBuilder::new(COLUMNS);
        sql.push_bind(head);
        if let Some(after) = self.after {
            sql.push(" AND records.id > ")
                .push_bind(after.cast_signed());
        }
        if let Some(id) = &query.request_id {
            sql.push(" AND request_id = ")
                .push_bind(id.as_str().to_owned());
        }
        if let Some((server, environment, instance)) = &self.source {
            sql.push(" AND source IN (SELECT id FROM sources WHERE server = ")
                .push_bind(server.clone());
            if let Some(environment) = environment {
                sql.push(" AND environment = ")
                    .push_bind(environment.clone());
            }
            if let Some(instance) = instance {
                sql.push(" AND instance = ").push_bind(instance.clone());
            }
            sql.push(")");
        }
        // Literals and not parameters: only then can SQLite use the partial index
        // `records_that_matter`.
        sql.push(match query.level {
            Some(Level::Info) => " AND level >= 1",
            Some(Level::Warn) => " AND level >= 2 AND level IN (2, 3)",
            Some(Level::Error) => " AND level >= 2 AND level = 3",
            None | Some(_) => "",
        });
        if let Some(since) = query.since {
            sql.push(" AND time >= ")
                .push_bind(first_microsecond(since));
        }
        if let Some(until) = query.until {
            sql.push(" AND time < ").push_bind(first_microsecond(until));
        }
        if let Some(text) = &query.text {
            // `LIKE` ends at a NUL, in the text as in the pattern.
            sql.push(" AND instr(lower(text), lower(")
                .push_bind(text.clone())
                .push(")) > 0");
        }
        let order = if self.after.is_some() { "ASC" } else { "DESC" };
        sql.push(" ORDER BY records.id ").push(order);
        // One more than requested, to find out whether more records match.
        sql.push(" LIMIT ").push_bind(i64::from(self.limit) + 1);
        sql
    }
}

/// Reads a page. Fails if that takes longer than `timeout`.
pub(super) async fn page(
    readers: &SqlitePool,
    filter: &Filter,
    timeout: Duration,
) -> Result<Page, LogStoreError> {
    let mut connection = readers.acquire().await?;
    let _running = limit_time(&mut connection, timeout).await?;
    read_page(&mut connection, filter).await
}

/// Interrupts statements of the connection after a time, or when the returned value is dropped: a
/// scan that finds nothing does not notice that its caller is gone.
async fn limit_time(
    connection: &mut SqliteConnection,
    timeout: Duration,
) -> Result<Arc<()>, LogStoreError> {
    let running = Arc::new(());
    let is_wanted = Arc::downgrade(&running);
    let end = Instant::now() + timeout;
    let mut handle = connection.lock_handle().await?;
    handle.set_progress_handler(STEPS, move || {
        is_wanted.strong_count() > 0 && Instant::now() < end
    });
    Ok(running)
}

async fn read_page(
    connection: &mut SqliteConnection,
    filter: &Filter,
) -> Result<Page, LogStoreError> {
    // Records that arrive during the read belong to the next page.
    let head: i64 = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM records")
        .fetch_one(&mut *connection)
        .await?;
    let mut sql = filter.sql(head);
    let mut rows = pin!(sql.build().fetch(connection));
    let (mut records, mut bytes, mut more) = (Vec::new(), 0, false);
    while let Some(row) = rows.try_next().await? {
        let logged = stored_record(&row)?;
        bytes += json_bytes(&logged)?;
        if records.len() == filter.limit as usize || (bytes > PAGE_BYTES && !records.is_empty()) {
            more = true;
            break;
        }
        records.push(logged);
    }
    let head = head.cast_unsigned();
    let next = match filter.after {
        Some(_) if more => records.last().map_or(head, |last: &StoredRecord| last.id),
        // The ID belongs to a replaced store, or lies in the future.
        Some(after) => after.max(head),
        None => {
            records.reverse();
            head
        }
    };
    Ok(Page {
        records,
        more,
        next,
    })
}

fn stored_record(row: &SqliteRow) -> Result<StoredRecord, LogStoreError> {
    let (server, environment, instance) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
    let request_id: Option<&str> = row.try_get(6)?;
    let source = Source::new(server, environment, instance).map_err(damaged)?;
    let time: i64 = row.try_get(7)?;
    let time =
        logs::Timestamp::from_unix_micros(time).ok_or_else(|| damaged(format!("time {time}")))?;
    let level = match row.try_get(8)? {
        0 => Level::Debug,
        1 => Level::Info,
        2 => Level::Warn,
        3 => Level::Error,
        other => return Err(damaged(format!("level {other}"))),
    };
    let mut record = Record::new(source, time, level, row.try_get::<String, _>(10)?);
    record.epoch = row.try_get::<Option<i64>, _>(4)?.map(i64::cast_unsigned);
    record.sequence = row.try_get::<Option<i64>, _>(5)?.map(i64::cast_unsigned);
    record.request_id = request_id.and_then(RequestId::parse);
    record.target = row.try_get(9)?;
    Ok(StoredRecord {
        id: row.try_get::<i64, _>(0)?.cast_unsigned(),
        record,
    })
}

fn damaged(error: impl ToString) -> LogStoreError {
    LogStoreError::new(LogStoreErrorKind::Corrupt, error)
}

/// Splits `server`, `server@environment` or `server@environment/instance`.
fn source_parts(text: &str) -> Result<(String, Option<String>, Option<String>), Error> {
    let (server, rest) = match text.split_once('@') {
        Some((server, rest)) => (server, Some(rest)),
        None => (text, None),
    };
    let (environment, instance) = match rest.and_then(|rest| rest.split_once('/')) {
        Some((environment, instance)) => (Some(environment), Some(instance)),
        None => (rest, None),
    };
    // Other characters are not valid in a source.
    Source::new(server, environment.unwrap_or("-"), instance.unwrap_or("-")).map_err(|_| {
        let forms = "`server`, `server@environment` or `server@environment/instance`";
        invalid("source", format!("{text:?}; write {forms}"))
    })?;
    let owned = |part: Option<&str>| part.map(str::to_owned);
    Ok((server.to_owned(), owned(environment), owned(instance)))
}

/// Stored times are truncated to microseconds. A record at or after `time` has at least this stored
/// time.
fn first_microsecond(time: Timestamp) -> i64 {
    time.as_microsecond() + i64::from(time.subsec_nanosecond() % 1000 > 0)
}

#[track_caller]
fn invalid(argument: &'static str, problem: String) -> Error {
    let error = Error::new(Code::InvalidArgument, format!("{argument}: {problem}"));
    error.with_violation(argument, problem)
}

fn json_bytes(logged: &StoredRecord) -> Result<usize, LogStoreError> {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, logged)
        .map_err(|error| LogStoreError::new(LogStoreErrorKind::Failed, error))?;
    Ok(counter.0)
}

/// Counts the bytes that are written to it.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqlitePoolOptions;
    use sqlx::{AssertSqlSafe, Connection as _};

    use super::*;

    /// Returns a pool with one connection to a store with many records.
    async fn filled() -> SqlitePool {
        let pool = SqlitePoolOptions::new().max_connections(1);
        let pool = pool.connect("sqlite::memory:").await.unwrap();
        let fill = "INSERT INTO sources VALUES (1, 'a', 'b', 'c');
            INSERT INTO records SELECT value, 1, NULL, NULL, NULL, value, 1, 't', 'text' FROM
                (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 20000) SELECT * FROM n);";
        for sql in [include_str!("migrations/1_records.sql"), fill] {
            sqlx::raw_sql(sql).execute(&pool).await.unwrap();
        }
        pool
    }

    #[tokio::test]
    async fn a_search_that_takes_too_long_ends() {
        let pool = filled().await;
        for query in [
            Query {
                text: Some("absent".to_owned()),
                ..Query::default()
            },
            Query {
                until: Some(Timestamp::UNIX_EPOCH),
                ..Query::default()
            },
            Query {
                after: Some(0),
                text: Some("absent".to_owned()),
                ..Query::default()
            },
        ] {
            let filter = Filter::new(&query).unwrap();
            let error = page(&pool, &filter, Duration::ZERO).await.unwrap_err();
            assert_eq!(error.kind, LogStoreErrorKind::Slow);
            let error = error.to_search_error();
            assert_eq!(error.code(), Code::DeadlineExceeded);
            assert!(error.message().contains("narrow it by time"), "{error}");
            // The connection is as before.
            let found = page(&pool, &filter, Duration::from_secs(60)).await.unwrap();
            assert!(found.records.is_empty());
        }
        let filter = Filter::new(&Query::default()).unwrap();
        let found = page(&pool, &filter, Duration::ZERO).await.unwrap();
        assert_eq!(found.records.len(), 100);
    }

    #[tokio::test]
    async fn a_search_whose_caller_left_ends() {
        let pool = filled().await;
        let mut connection = pool.acquire().await.unwrap();
        let wanted = limit_time(&mut connection, Duration::from_secs(60))
            .await
            .unwrap();
        let scan = "SELECT count(*) FROM records WHERE text = 'absent'";
        sqlx::query(scan).execute(&mut *connection).await.unwrap();
        drop(wanted);
        let error = sqlx::query(scan)
            .execute(&mut *connection)
            .await
            .unwrap_err();
        assert_eq!(LogStoreError::from(error).kind, LogStoreErrorKind::Slow);
    }

    #[tokio::test]
    async fn searches_that_find_little_use_an_index() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql(include_str!("migrations/1_records.sql"))
            .execute(&mut connection)
            .await
            .unwrap();
        sqlx::raw_sql(include_str!("migrations/2_shares.sql"))
            .execute(&mut connection)
            .await
            .unwrap();
        let query = Query::default();
        for (expected, query) in [
            (
                "records_by_request",
                Query {
                    request_id: RequestId::parse("r1"),
                    ..query.clone()
                },
            ),
            (
                "records_by_source",
                Query {
                    source: Some("userstore".to_owned()),
                    ..query.clone()
                },
            ),
            (
                "records_that_matter",
                Query {
                    level: Some(Level::Warn),
                    ..query.clone()
                },
            ),
            (
                "records_that_matter",
                Query {
                    level: Some(Level::Error),
                    ..query
                },
            ),
        ] {
            for after in [None, Some(7)] {
                let query = Query {
                    after,
                    ..query.clone()
                };
                let sql = Filter::new(&query).unwrap().sql(1).into_string();
                let plan = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
                let steps = sqlx::query(plan).fetch_all(&mut connection).await.unwrap();
                let first: String = steps[0].get(3);
                assert!(first.contains(expected), "{sql}: {first}");
            }
        }
    }
}
