//! Tables of both databases, and what stands in them.

use std::path::Path;
use std::time::Duration;

use fibpro::api::logsink::{Level, Record};
use fibpro::service::logsink::{LogStore, LogStoreOptions, PrintQueue, Sink};
use fibpro::service::userstore::Database;
use rpc_runtime::RequestId;
use rpc_runtime::logs::LogsClient;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions as _, Row as _};

use crate::pinned::assert_pinned;
use crate::process::{Folder, TEST_TIMEOUT};
use crate::userstore::fixture::{Engine, Fixture};

/// Changing a character of a migration, comments included, keeps existing databases from opening:
/// sqlx compares checksums.
#[test]
fn migrations_are_as_pinned() {
    let both = [
        (
            "sqlite",
            include_str!("../../../migrations/sqlite/0001_users.sql"),
        ),
        (
            "postgres",
            include_str!("../../../migrations/postgres/0001_users.sql"),
        ),
        (
            "logsink",
            include_str!("../../../src/service/logsink/store/migrations/1_records.sql"),
        ),
        (
            "sqlite, revision",
            include_str!("../../../migrations/sqlite/0002_revision.sql"),
        ),
        (
            "sqlite, import",
            include_str!("../../../migrations/sqlite/0003_import.sql"),
        ),
        (
            "postgres, import",
            include_str!("../../../migrations/postgres/0002_import.sql"),
        ),
        (
            "sqlite, credit changes",
            include_str!("../../../migrations/sqlite/0004_credit_changes.sql"),
        ),
        (
            "postgres, credit changes",
            include_str!("../../../migrations/postgres/0003_credit_changes.sql"),
        ),
        (
            "logsink, shares",
            include_str!("../../../src/service/logsink/store/migrations/2_shares.sql"),
        ),
        (
            "sqlite, principal",
            include_str!("../../../migrations/sqlite/0005_principal.sql"),
        ),
        (
            "postgres, principal",
            include_str!("../../../migrations/postgres/0004_principal.sql"),
        ),
    ];
    let texts = both.map(|(name, text)| format!("==== {name}\n{text}"));
    assert_pinned!("migrations.txt", texts.concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_users_database_is_as_pinned() {
    let fixture = Fixture::new(Engine::Sqlite).await.unwrap();
    let list = r#"[{"username": "username", "password": "password", "credit": 9},
        {"username": "developer", "password": "password", "credit": 0, "roles": ["developer", "b"]}]"#;
    let (users, client) = fixture.open_list(list).await;
    for (key, amount) in [("settled", 1), ("refunded", 2), ("expired", 3)] {
        client.reserve("username", amount, key).await.unwrap();
    }
    client.settle("settled").await.unwrap();
    client.refund("refunded").await.unwrap();
    fixture.advance(Duration::from_secs(31));
    client.set_credit("username", 20).await.unwrap();
    client.deposit("username", -3, 0, "a").await.unwrap();
    client.deposit("username", 2, 0, "b").await.unwrap();
    let set = client.compare_and_set_credit("username", 19, 20, "c");
    set.await.unwrap();
    client.reserve("username", 4, "reserved").await.unwrap();
    drop((users, client));
    let Database::Sqlite(options) = &fixture.database else {
        panic!("not SQLite");
    };
    let tables = ["users", "purchases", "credit_changes", "ledger", "import"];
    let dump = dump(options, &tables).await;
    // Salts differ.
    let mut lines = dump.lines();
    let texts = lines.by_ref().map(|line| match line.split_once("p=1$") {
        Some((before, after)) => {
            let after = after.split_once(' ').unwrap().1;
            format!("{before}p=1$SALT$HASH {after}\n")
        }
        None => format!("{line}\n"),
    });
    assert_pinned!("users_database.txt", texts.collect::<String>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_database_is_as_pinned() {
    let folder = Folder::new();
    let path = folder.file("logs.sqlite");
    append(&path).await;
    let options = SqliteConnectOptions::new().filename(&path);
    let dump = dump(&options, &["sources", "shares", "records", "lives"]).await;
    assert_pinned!("log_database.txt", dump);
}

/// Stores records of each form.
async fn append(path: &Path) {
    let (store, intake) = LogStore::start(LogStoreOptions {
        path: path.to_owned(),
        bytes: 16 << 20,
    })
    .await;
    let (printer, writing) = PrintQueue::start(std::io::sink(), Some(intake)).unwrap();
    let logs = LogsClient::local(Sink::new(printer, Some(store)));
    let record = |epoch, sequence, level, request: Option<&str>, text: &str| {
        let source = "userstore@prod/127.0.0.1:9003".parse().unwrap();
        let time = "2026-11-22T12:25:34.021934Z".parse().unwrap();
        let mut record = Record::new(source, time, level, text);
        record.epoch = epoch;
        record.sequence = sequence;
        record.request_id = request.and_then(RequestId::parse);
        record.target = "fibpro::service".to_owned();
        record
    };
    let mut last = record(None, None, Level::Error, None, "two\nlines");
    last.source = "pricing@dev/a1".parse().unwrap();
    let records = [
        record(
            Some(1),
            Some(1),
            Level::Debug,
            Some("3b9d41f8a0c2e576"),
            "a",
        ),
        record(Some(1), Some(2), Level::Info, None, "b"),
        record(Some(1), Some(5), Level::Warn, None, "c"),
        record(Some(u64::MAX), Some(u64::MAX), Level::Warn, None, "d"),
        last,
    ];
    assert_eq!(logs.append(&records[..]).await.unwrap(), 5);
    drop(logs);
    writing.finish(TEST_TIMEOUT).await.unwrap();
}

/// The schema that the file has, and the rows of these tables. Numbers of 16 digits that are the
/// time of this run become 1.
async fn dump(options: &SqliteConnectOptions, tables: &[&str]) -> String {
    let mut connection = options.clone().connect().await.unwrap();
    let mut out = String::new();
    let mut queries = vec![
        "SELECT type, name, tbl_name, COALESCE(sql, '-') FROM sqlite_master ORDER BY type, name".to_owned(),
        "SELECT version, description, hex(checksum) FROM _sqlx_migrations ORDER BY version".to_owned(),
        "SELECT (SELECT user_version FROM pragma_user_version), (SELECT application_id FROM pragma_application_id), \
         (SELECT journal_mode FROM pragma_journal_mode), (SELECT auto_vacuum FROM pragma_auto_vacuum)"
            .to_owned(),
    ];
    queries.extend(
        tables
            .iter()
            .map(|table| format!("SELECT * FROM {table} ORDER BY 1, 2")),
    );
    for query in queries {
        out.push_str(&format!("==== {query}\n"));
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .fetch_all(&mut connection)
            .await;
        for row in rows.unwrap() {
            let cells: Vec<_> = (0..row.len()).map(|column| cell(&row, column)).collect();
            out.push_str(&format!("{}\n", cells.join(" | ")));
        }
    }
    out
}

fn cell(row: &SqliteRow, column: usize) -> String {
    use sqlx::{Column as _, TypeInfo as _, ValueRef as _};
    let name = row.column(column).name();
    let value = row.try_get_raw(column).unwrap();
    if value.is_null() {
        return "NULL".to_owned();
    }
    match value.type_info().name() {
        "INTEGER" => match row.get::<i64, _>(column) {
            // Ids of records are times of this run.
            id if (name == "id" || name == "used") && id > 1_000_000 => "TIME".to_owned(),
            number => number.to_string(),
        },
        _ => row.get::<String, _>(column),
    }
}
