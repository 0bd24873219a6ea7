//! Reads, changes and limits of the stores under load, undisturbed and disturbed. The figures are
//! printed; what is checked is that reads go on, that errors say what to wait for, and the money.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fibpro::api::userstore::UserStoreClient;
use fibpro::service::userstore::{Database, Settings};
use rpc_runtime::Code;
use rpc_tests::wait::until;
use sqlx::Connection as _;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::fixture::{Engine, Fixture, audit, list_of};
use super::postgres::Cluster;
use super::readers::read_from;
use super::waiting::{Blocker, MissingStandby};

/// Time of a measurement.
const TIME: Duration = Duration::from_secs(1);

/// Number of users. Each buys one number after the other.
const BUYERS: usize = 32;

const READERS: usize = 8;

/// Limit of `-wal` in the measurements, in bytes.
const WAL_LIMIT: u64 = 4 << 20;

#[derive(Default)]
struct Figures {
    changes: Vec<Duration>,
    refused: Vec<Duration>,
    reads: Vec<Duration>,
    wal: u64,
}

impl Figures {
    fn print(&mut self, name: &str) {
        let mut line = format!("{name:<44}");
        for (what, times) in [
            ("changes", &mut self.changes),
            ("refused", &mut self.refused),
            ("reads", &mut self.reads),
        ] {
            times.sort_unstable();
            let p99 = times
                .get(times.len() * 99 / 100)
                .copied()
                .unwrap_or_default();
            let rate = times.len() as f64 / TIME.as_secs_f64();
            line.push_str(&format!(
                "  {rate:>6.0} {what}/s, p99 {:>6.1} ms",
                p99.as_secs_f64() * 1e3
            ));
        }
        if self.wal > 0 {
            line.push_str(&format!(
                "  -wal up to {:.1} MiB",
                self.wal as f64 / f64::from(1 << 20)
            ));
        }
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// Buys and reads at the same time. `buyers` are the numbers of the users who buy.
async fn load(
    store: &UserStoreClient,
    database: &Database,
    buyers: std::ops::Range<usize>,
) -> Figures {
    let is_over = Arc::new(AtomicBool::new(false));
    let (mut buying, mut reading) = (JoinSet::new(), JoinSet::new());
    for user in buyers {
        let (store, name, is_over) = (store.clone(), format!("u{user}"), Arc::clone(&is_over));
        buying.spawn(async move {
            let (mut changes, mut refused) = (Vec::new(), Vec::new());
            while !is_over.load(Ordering::Relaxed) {
                let key = format!("{name}/{:?}", Instant::now());
                let begin = Instant::now();
                match store.reserve(&name, 1, &key).no_retry().await {
                    Ok(_) => changes.push(begin.elapsed()),
                    Err(error) => {
                        let code = error.code();
                        assert!(
                            matches!(code, Code::Unavailable | Code::ResourceExhausted),
                            "{error}"
                        );
                        refused.push(begin.elapsed());
                    }
                }
            }
            (changes, refused)
        });
    }
    for user in 0..READERS {
        let (store, name, is_over) = (store.clone(), format!("u{user}"), Arc::clone(&is_over));
        reading.spawn(async move {
            let mut reads = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let begin = Instant::now();
                store
                    .ledger_page(&name, None, 100)
                    .no_retry()
                    .await
                    .unwrap();
                reads.push(begin.elapsed());
            }
            reads
        });
    }
    let _ = timeout(TIME, std::future::pending::<()>()).await;
    is_over.store(true, Ordering::Relaxed);
    let mut figures = Figures::default();
    while let Some(bought) = buying.join_next().await {
        let (mut changes, mut refused) = bought.unwrap();
        figures.changes.append(&mut changes);
        figures.refused.append(&mut refused);
        if let Database::Sqlite(options) = database {
            let wal = format!("{}-wal", options.get_filename().display());
            figures.wal = figures.wal.max(std::fs::metadata(wal).unwrap().len());
        }
    }
    figures.reads = reading.join_all().await.concat();
    assert!(!figures.reads.is_empty());
    figures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_of_sqlite() {
    let fixture = Fixture::new(Engine::Sqlite).await.unwrap();
    let settings = Settings {
        wal_limit: WAL_LIMIT,
        ..fixture.settings()
    };
    let (_users, store) = fixture
        .open_with(&fixture.database, &list_of(BUYERS), settings)
        .await;
    let Database::Sqlite(options) = &fixture.database else {
        panic!("{:?}", fixture.database);
    };
    load(&store, &fixture.database, 0..BUYERS)
        .await
        .print("SQLite");
    let reader = read_from(options).await;
    load(&store, &fixture.database, 0..BUYERS)
        .await
        .print("SQLite, another process reads all the time");
    reader.close().await.unwrap();
    load(&store, &fixture.database, 0..BUYERS)
        .await
        .print("SQLite, after that");
    fixture.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_of_postgres() {
    let Some(cluster) = Cluster::start("load") else {
        return;
    };
    let database = cluster.database("postgres");
    let fixture = Fixture::new(Engine::Sqlite).await.unwrap();
    let (_users, store) = fixture.open_on(&database, &list_of(2 * BUYERS)).await;
    load(&store, &database, 0..BUYERS).await.print("PostgreSQL");
    let lock = "UPDATE users SET credit = credit WHERE username = 'u40'";
    let blocker = Blocker::of(&database, lock).await;
    let waiting: Vec<_> = (0..100)
        .map(|n| tokio::spawn(store.reserve("u40", 1, &format!("k{n}")).no_retry()))
        .collect();
    load(&store, &database, 0..BUYERS)
        .await
        .print("PostgreSQL, the row of another user locked");
    blocker.end("ROLLBACK").await;
    for call in waiting {
        let _ = call.await.unwrap();
    }
    let standby = MissingStandby::of(&database).await;
    // As many as there are sessions that write; they wait for the standby.
    let stuck: Vec<_> = (BUYERS..BUYERS + 16)
        .map(|user| {
            tokio::spawn(
                store
                    .reserve(&format!("u{user}"), 1, &format!("s{user}"))
                    .no_retry(),
            )
        })
        .collect();
    until(async || standby.waiting(&database).await == 16).await;
    load(&store, &database, 0..BUYERS)
        .await
        .print("PostgreSQL, a synchronous standby missing");
    standby.end(&database).await;
    for call in stuck {
        call.await.unwrap().unwrap();
    }
    load(&store, &database, 0..BUYERS)
        .await
        .print("PostgreSQL, after that");
    audit(&database).await;
}
