//! Checks whether a database is sound: its structure, and the rules that its content obeys.

use sqlx::SqliteConnection;

use super::session::{ColumnReader as _, SqlSession as _};

/// Tables that each version of the schema has.
const TABLES: &str = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name IN ('users', 'purchases', 'ledger')";

/// Rules that hold for the content of each database, as queries for the number of exceptions.
const RULES: [(&str, &str); 3] = [
    (
        "the credit of a user is the sum of the user's ledger",
        "SELECT COUNT(*) FROM users WHERE credit <> (SELECT COALESCE(SUM(change), 0) FROM ledger \
         WHERE ledger.username = users.username)",
    ),
    (
        "each purchase has one entry of its reservation",
        "SELECT COUNT(*) FROM purchases p LEFT JOIN (SELECT key, COUNT(*) AS entries, SUM(change) AS change FROM ledger \
         WHERE reason = 'reserve' GROUP BY key) l ON l.key = p.key \
         WHERE l.entries IS NOT 1 OR l.change IS NOT -p.amount",
    ),
    (
        "each row refers to rows that exist",
        "SELECT COUNT(*) FROM pragma_foreign_key_check",
    ),
];

/// Extent of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CheckDepth {
    /// All pages and rows.
    Structure,
    /// Also the rules for the content.
    Rules,
    /// Also that the indexes agree with the tables.
    Full,
}

/// Returns what is wrong with a database, if anything.
pub(crate) async fn find_fault(
    connection: &mut SqliteConnection,
    depth: CheckDepth,
) -> sqlx::Result<Option<String>> {
    let structure = match depth {
        CheckDepth::Structure | CheckDepth::Rules => "PRAGMA quick_check(1)",
        CheckDepth::Full => "PRAGMA integrity_check(1)",
    };
    let rows = connection.rows(structure, &[]).await?;
    let verdict = rows.first().map(|row| row.text(0)).transpose()?;
    if let Some(verdict) = verdict
        && verdict != "ok"
    {
        return Ok(Some(verdict));
    }
    if count(connection, TABLES).await? != 3 {
        return Ok(Some("it has no users, purchases and ledger".to_owned()));
    }
    if depth == CheckDepth::Structure {
        return Ok(None);
    }
    for (rule, exceptions) in RULES {
        let found = count(connection, exceptions).await?;
        if found != 0 {
            return Ok(Some(format!("{rule}, with {found} exceptions")));
        }
    }
    Ok(None)
}

/// Returns the number of transactions of a database; 0 for one of a version that did not count
/// them.
pub(crate) async fn changes(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    const TABLE: &str =
        "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'revision'";
    if count(connection, TABLE).await? == 0 {
        return Ok(0);
    }
    count(connection, "SELECT COALESCE(MAX(changes), 0) FROM revision").await
}

/// Runs a query for one number.
pub(crate) async fn count(
    connection: &mut SqliteConnection,
    sql: &'static str,
) -> sqlx::Result<i64> {
    let rows = connection.rows(sql, &[]).await?;
    rows.first().map_or(Ok(0), |row| row.int(0))
}
