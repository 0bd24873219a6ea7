//! SQLite while others read, and pages of the ledger.

use fibpro::api::userstore::UserStoreClient;
use fibpro::service::userstore::{Database, Settings, Users};
use rpc_runtime::Code;
use rpc_tests::wait::until;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::fixture::{Engine, Fixture, list_of, on_both};

/// Limit of `-wal` in these tests, in bytes.
const LIMIT: u64 = 2 << 20;

/// Length of the largest transaction, in bytes: a group of purchases.
const GROUP: u64 = 2 << 20;

const FULL: &str = "another process has been reading the users' database for long, so its -wal is full; nothing was changed";

struct Limited {
    fixture: Fixture,
    users: Users,
    store: UserStoreClient,
}

impl Limited {
    async fn open() -> Self {
        let fixture = Fixture::new(Engine::Sqlite).await.unwrap();
        let settings = Settings {
            wal_limit: LIMIT,
            ..fixture.settings()
        };
        let (users, store) = fixture
            .open_with(&fixture.database, &list_of(8), settings)
            .await;
        Self {
            fixture,
            users,
            store,
        }
    }

    fn options(&self) -> SqliteConnectOptions {
        let Database::Sqlite(options) = &self.fixture.database else {
            panic!("{:?}", self.fixture.database);
        };
        options.clone()
    }

    fn wal_length(&self) -> u64 {
        let path = format!("{}-wal", self.options().get_filename().display());
        std::fs::metadata(path).unwrap().len()
    }

    /// Buys until a purchase is refused, at most `most` numbers for each user. Returns the error.
    async fn buy(&self, name: &str, most: usize) -> Option<String> {
        for n in 0..most {
            let calls = (0..8).map(|user| {
                let key = format!("{name}/{n}/{user}");
                self.store.reserve(&format!("u{user}"), 1, &key).no_retry()
            });
            for outcome in futures_util::future::join_all(calls).await {
                if let Err(error) = outcome {
                    assert_eq!(error.code(), Code::Unavailable, "{error}");
                    return Some(error.message().to_owned());
                }
            }
            assert!(self.wal_length() <= LIMIT + GROUP, "{}", self.wal_length());
        }
        None
    }
}

/// Begins a transaction that reads, as another process does.
pub(super) async fn read_from(options: &SqliteConnectOptions) -> SqliteConnection {
    let mut reader = options.clone().read_only(true).connect().await.unwrap();
    for sql in ["BEGIN", "SELECT COUNT(*) FROM users"] {
        sqlx::query(sql).execute(&mut reader).await.unwrap();
    }
    reader
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_another_process_bounds_the_wal() {
    let limited = Limited::open().await;
    for round in 0..2 {
        let reader = read_from(&limited.options()).await;
        let refused = limited.buy(&format!("{round}"), 450).await;
        assert_eq!(refused.as_deref(), Some(FULL));
        // Reading goes on, and the store says that it cannot write.
        assert!(limited.store.get_user("u1").await.unwrap().is_some());
        assert_eq!(limited.users.ready().await.unwrap_err().message(), FULL);
        assert_eq!(
            limited
                .store
                .settle("none")
                .no_retry()
                .await
                .unwrap_err()
                .message(),
            FULL
        );
        reader.close().await.unwrap();
        // By itself.
        until(async || limited.users.ready().await.is_ok()).await;
        assert!(limited.wal_length() < LIMIT / 4, "{}", limited.wal_length());
        limited.store.set_credit("u1", 1000).await.unwrap();
    }
    limited.users.close().await.unwrap();
    limited.fixture.audit().await;
}

/// Buys while others read, and repeats what is refused.
async fn buy_in_spite_of(limited: &Limited, reading: impl Future<Output = ()> + Send + 'static) {
    let reading = tokio::spawn(reading);
    for n in 0..200 {
        until(async || limited.buy(&format!("{n}"), 1).await.is_none()).await;
    }
    reading.abort();
    let _ = reading.await;
    limited.fixture.audit().await;
}

/// SQLite would not begin `-wal` anew without a moment in which no connection reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_without_a_gap_stop_no_purchase() {
    let limited = Limited::open().await;
    let store = limited.store.clone();
    let read = move |user: usize| {
        let store = store.clone();
        async move {
            loop {
                store.ledger(&format!("u{user}"), 1000).await.unwrap();
            }
        }
    };
    let reading = async move {
        futures_util::future::join_all((0..8).map(read)).await;
    };
    buy_in_spite_of(&limited, reading).await;
}

/// Readers of another process that overlap, each for a short time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_that_come_and_go_stop_no_purchase() {
    let limited = Limited::open().await;
    let options = limited.options();
    let reading = async move {
        let mut reader = read_from(&options).await;
        loop {
            let next = read_from(&options).await;
            reader.close().await.unwrap();
            reader = next;
        }
    };
    buy_in_spite_of(&limited, reading).await;
}

on_both! {
    async fn the_ledger_has_pages(fixture) {
        let (_users, store) = fixture.open(1000).await;
        for n in 0..9 {
            store.reserve("username", 1, &format!("k{n}")).await.unwrap();
            store.reserve("u", 1, "k").await.unwrap_err();
        }
        let all = store.ledger("username", 1000).await.unwrap();
        assert_eq!(all.len(), 10);
        for limit in [1, 3, 5, 9, 10, 11] {
            let (mut entries, mut before, mut pages) = (Vec::new(), None, 0);
            loop {
                let page = store.ledger_page("username", before, limit).await.unwrap();
                assert!(page.entries.len() <= limit as usize);
                entries.extend(page.entries);
                pages += 1;
                // What comes later does not move the pages.
                store.set_credit("username", 1000 + u64::from(limit) * 100 + pages).await.unwrap();
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
            let first = entries.iter().position(|entry| entry == &all[0]).unwrap();
            assert_eq!(entries[first..], all, "{limit}");
        }
        for before in [0, 1] {
            let page = store.ledger_page("username", Some(before), 5).await.unwrap();
            assert_eq!((page.entries.len(), page.next), (0, None));
        }
        let page = store.ledger_page("username", Some(u64::MAX), 1).await.unwrap();
        assert!(page.next.is_some());
        let error = store.ledger_page("username", None, 1001).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        let error = store.ledger_page("unknown", None, 1).await.unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
    }
}
