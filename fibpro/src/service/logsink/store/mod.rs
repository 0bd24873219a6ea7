//! The log store: the latest records of all services in an SQLite file with a size limit.
//!
//! One task writes records in the order in which they are printed, and combines waiting jobs into
//! one transaction. Searches use their own connections. Accepted records are committed: they
//! survive the end of the process, and a power failure except for the last transactions.

mod error;
mod file;
mod insert;
mod retention;
mod select;
mod shares;
mod wal;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rpc_runtime::{Code, Result, fail};
use sqlx::SqlitePool;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use self::file::FileIdentity;
use self::writer::StoreWriter;
use super::sequence::SequenceTracker;
use crate::api::logsink::Page;

pub(super) use select::Filter;
pub(super) use writer::{StoreJob, StoreResult};

/// Maximum number of searches that wait for records. Each occupies a slot for running calls.
const FOLLOWERS: usize = 64;

/// Timeout of a search. While it runs, the write-ahead log cannot be emptied.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Path and size limit of a store.
#[derive(Debug, Clone)]
pub struct LogStoreOptions {
    /// The database file. File and folder are created if they are missing.
    pub path: PathBuf,
    /// Maximum size including the write-ahead log, in bytes. The oldest records of the server and
    /// level with the most are evicted first.
    pub bytes: u64,
}

/// Handle of the store for searches. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogStore {
    shared: Arc<StoreShared>,
}

/// State shared by readers and writer.
#[derive(Debug)]
pub(super) struct StoreShared {
    options: LogStoreOptions,
    readers: RwLock<Readers>,
    /// ID of the last record.
    head: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
    followers: Semaphore,
}

/// Connections of searches, and the file that they are for.
#[derive(Debug)]
struct Readers {
    pool: SqlitePool,
    file: FileIdentity,
}

impl Readers {
    fn of(path: &Path) -> Self {
        Self {
            // Before the pool connects: a file that is replaced in between is noticed later.
            file: FileIdentity::of(path),
            pool: file::readers(path),
        }
    }
}

impl LogStore {
    /// Opens the store and starts the task that writes to it.
    ///
    /// A file that cannot be opened does not stop the sink: the error is logged, callers receive
    /// `unavailable`, and the next records trigger another attempt. A damaged file is renamed and
    /// replaced.
    pub async fn start(options: LogStoreOptions) -> (Self, Intake) {
        let (jobs, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(StoreShared {
            readers: RwLock::new(Readers::of(&options.path)),
            options,
            head: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            followers: Semaphore::new(FOLLOWERS),
        });
        let mut writer = StoreWriter::new(Arc::clone(&shared), queue);
        let stored = writer.begin().await;
        let intake = Intake {
            jobs,
            stored,
            storing: StoreTask(tokio::spawn(writer.run())),
        };
        (Self { shared }, intake)
    }

    /// Ends all waiting searches, so that a server can stop without waiting for them.
    pub fn stop_waiting(&self) {
        self.shared.stopping.send_replace(true);
    }

    /// Returns the matching records.
    pub(super) async fn page(&self, filter: &Filter) -> Result<Page> {
        self.shared.follow_file().await;
        select::page(&self.shared.readers(), filter, SEARCH_TIMEOUT)
            .await
            .map_err(|problem| {
                tracing::warn!(
                    "cannot search the log store: {}",
                    problem.advice(&self.shared.options.path)
                );
                problem.to_search_error()
            })
    }

    /// Returns a channel with the ID of the last stored record.
    pub(super) fn head(&self) -> watch::Receiver<u64> {
        self.shared.head.subscribe()
    }

    /// Returns a channel that becomes true when searches should stop waiting.
    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.shared.stopping.subscribe()
    }

    /// Returns the semaphore that limits waiting searches.
    pub(super) fn followers(&self) -> &Semaphore {
        &self.shared.followers
    }
}

impl StoreShared {
    fn readers(&self) -> SqlitePool {
        self.readers.read().pool.clone()
    }

    /// Renews the pool of readers if the file was replaced since they were connected. A file that
    /// is missing has no replacement yet: its last content can still be searched.
    async fn follow_file(&self) {
        let now = FileIdentity::of(&self.options.path);
        if now.exists() && self.readers.read().file != now {
            self.renew_readers().await;
        }
    }

    /// Replaces the pool of readers and closes the old connections.
    async fn renew_readers(&self) {
        let new = Readers::of(&self.options.path);
        let old = {
            let mut readers = self.readers.write();
            std::mem::replace(&mut *readers, new)
        };
        old.pool.close().await;
    }
}

/// Queue into the store, for a [`PrintQueue`](super::PrintQueue).
#[derive(Debug)]
pub struct Intake {
    jobs: mpsc::UnboundedSender<StoreJob>,
    stored: SequenceTracker,
    storing: StoreTask,
}

impl Intake {
    /// Returns the queue, the sequence numbers of stored records, and the task of the store.
    pub(super) fn split(self) -> (mpsc::UnboundedSender<StoreJob>, SequenceTracker, StoreTask) {
        (self.jobs, self.stored, self.storing)
    }
}

/// Handle of the task that stores records.
#[derive(Debug)]
pub(super) struct StoreTask(JoinHandle<Result<()>>);

impl StoreTask {
    /// Waits until all forwarded records are stored.
    pub(super) async fn ended(self) -> Result<()> {
        match self.0.await {
            Ok(outcome) => outcome,
            Err(error) => fail!(Code::Internal, "the task of the log store failed: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use rpc_runtime::Context;
    use rpc_tests::wait::StoppedClock;
    use tokio::time::{Instant, advance};

    use super::super::search;
    use super::*;
    use crate::api::logsink::Query;

    /// Half a second of the deadline is kept for the response, also if the first query of a search
    /// uses up the rest.
    #[tokio::test]
    async fn a_slow_query_leaves_time_for_the_response() {
        let name = format!("fibpro-search-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let options = LogStoreOptions {
            path: folder.join("logs.sqlite"),
            bytes: 32 << 20,
        };
        let (store, _intake) = LogStore::start(options).await;
        // The first query waits for one of these connections.
        let readers = store.shared.readers();
        let mut connections = Vec::new();
        for _ in 0..readers.options().get_max_connections() {
            connections.push(readers.acquire().await.unwrap());
        }
        let wait = Query {
            wait_ms: Some(20_000),
            ..Query::default()
        };
        let _clock = StoppedClock::start().await;
        let start = Instant::now();
        let timeout = Duration::from_secs(5);
        let deadline = std::time::Instant::now() + timeout;
        let context = Context::default().with_deadline(deadline);
        let mut search = pin!(context.scope(search::page(&store, &wait)));
        tokio::select! {
            biased;
            page = &mut search => panic!("there is no connection: {page:?}"),
            () = async {} => {}
        }
        advance(timeout - Duration::from_millis(400)).await;
        drop(connections);
        let page = search.await.unwrap();
        assert!(page.records.is_empty());
        assert!(start.elapsed() < timeout, "{:?}", start.elapsed());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
