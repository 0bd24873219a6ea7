//! Abstraction over connections to SQLite and PostgreSQL.
//!
//! Both databases accept the same statements, with integers and texts as parameters and columns. So
//! statements are written once, and only this module is specific to a database.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{PgConnection, Row as _, SqliteConnection};

/// Parameter of a statement: `$1`, `$2` and so on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SqlValue<'a> {
    Int(i64),
    Text(&'a str),
    /// A text or `NULL`.
    NullableText(Option<&'a str>),
}

impl From<i64> for SqlValue<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl<'a> From<&'a str> for SqlValue<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<Option<&'a str>> for SqlValue<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Self::NullableText(value)
    }
}

/// Runs statements one at a time.
pub(crate) trait SqlSession: Send {
    type Row: ColumnReader + Send;

    /// Runs a statement and returns its rows.
    fn rows(
        &mut self,
        sql: &'static str,
        values: &[SqlValue<'_>],
    ) -> impl Future<Output = sqlx::Result<Vec<Self::Row>>> + Send;
}

/// Reads the columns of a row, counted from 0.
pub(crate) trait ColumnReader {
    fn int(&self, at: usize) -> sqlx::Result<i64>;
    fn text(&self, at: usize) -> sqlx::Result<String>;
    fn nullable_text(&self, at: usize) -> sqlx::Result<Option<String>>;

    /// Reads a number that a constraint of the schema keeps non-negative.
    fn count(&self, at: usize) -> sqlx::Result<u64> {
        u64::try_from(self.int(at)?).map_err(|error| sqlx::Error::Decode(error.into()))
    }
}

macro_rules! impl_session {
    ($connection:ty, $row:ty) => {
        impl SqlSession for $connection {
            type Row = $row;

            async fn rows(
                &mut self,
                sql: &'static str,
                values: &[SqlValue<'_>],
            ) -> sqlx::Result<Vec<$row>> {
                let mut query = sqlx::query(sql);
                for value in values {
                    query = match value {
                        SqlValue::Int(value) => query.bind(value),
                        SqlValue::Text(value) => query.bind(value),
                        SqlValue::NullableText(value) => query.bind(value),
                    };
                }
                query.fetch_all(self).await
            }
        }

        impl ColumnReader for $row {
            fn int(&self, at: usize) -> sqlx::Result<i64> {
                self.try_get(at)
            }

            fn text(&self, at: usize) -> sqlx::Result<String> {
                self.try_get(at)
            }

            fn nullable_text(&self, at: usize) -> sqlx::Result<Option<String>> {
                self.try_get(at)
            }
        }
    };
}

impl_session!(SqliteConnection, SqliteRow);
impl_session!(PgConnection, PgRow);
