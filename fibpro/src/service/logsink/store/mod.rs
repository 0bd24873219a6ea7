//! The store: the last records of all services in a file of SQLite, bounded in bytes.
//!
//! One task writes, in the order in which the records were printed, and puts what waits into one transaction; searches
//! read beside it. What an answer calls accepted is committed: it outlives the process, and a power cut but for the last
//! moments.

mod error;
mod file;
mod insert;
mod retention;
mod select;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rpc_runtime::{Code, Result, fail};
use sqlx::SqlitePool;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use self::writer::StoreWriter;
use super::sequence::SequenceTracker;
use crate::api::logsink::Page;

pub(super) use error::LogStoreError;
pub(super) use select::Filter;
pub(super) use writer::PrintedJob;

/// How many searches wait for records at one time. Each takes one of the places of running calls.
const FOLLOWERS: usize = 64;

/// Where records are kept, and how many.
#[derive(Debug, Clone)]
pub struct LogStoreOptions {
    /// The file. It and its folder are made where they are missing.
    pub path: PathBuf,
    /// How large it may be with what SQLite writes ahead of it, in bytes. The oldest records make room for new ones.
    pub bytes: u64,
}

/// What is kept, for those who search. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogStore {
    shared: Arc<StoreShared>,
}

/// What readers and writer share.
#[derive(Debug)]
pub(super) struct StoreShared {
    options: LogStoreOptions,
    readers: RwLock<SqlitePool>,
    /// The id of the last record.
    head: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
    followers: Semaphore,
}

impl LogStore {
    /// Opens the store, and starts the task that writes to it.
    ///
    /// A file that cannot be opened is no reason for the sink not to print: the log says what is wrong, callers get
    /// `unavailable`, and it is tried again when records come. A damaged file is moved aside.
    pub async fn start(options: LogStoreOptions) -> (Self, Intake) {
        let (jobs, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(StoreShared {
            readers: RwLock::new(file::readers(&options.path)),
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

    /// Ends the waiting of all searches, so that a server that stops does not wait for them.
    pub fn stop_waiting(&self) {
        self.shared.stopping.send_replace(true);
    }

    /// The records that match.
    pub(super) async fn page(&self, filter: &Filter) -> Result<Page> {
        select::page(&self.shared.readers(), filter)
            .await
            .map_err(|problem| {
                tracing::warn!(
                    "cannot search the log: {}",
                    problem.advice(&self.shared.options.path)
                );
                problem.to_search_error()
            })
    }

    /// Tells of each record that was stored.
    pub(super) fn head(&self) -> watch::Receiver<u64> {
        self.shared.head.subscribe()
    }

    /// Becomes true when nothing should wait any more.
    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.shared.stopping.subscribe()
    }

    /// The places of those who wait.
    pub(super) fn followers(&self) -> &Semaphore {
        &self.shared.followers
    }
}

impl StoreShared {
    fn readers(&self) -> SqlitePool {
        self.readers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Closes the connections that read, and makes new ones when they are needed.
    async fn renew_readers(&self) {
        let new = file::readers(&self.options.path);
        let old = {
            let mut readers = self.readers.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *readers, new)
        };
        old.close().await;
    }
}

/// The way into the store, for a [`PrintQueue`](super::PrintQueue).
#[derive(Debug)]
pub struct Intake {
    jobs: mpsc::UnboundedSender<PrintedJob>,
    stored: SequenceTracker,
    storing: StoreTask,
}

impl Intake {
    /// The way itself, what is stored already, and the task at the end of the way.
    pub(super) fn split(
        self,
    ) -> (
        mpsc::UnboundedSender<PrintedJob>,
        SequenceTracker,
        StoreTask,
    ) {
        (self.jobs, self.stored, self.storing)
    }
}

/// The task that stores, for the one who has to wait for its end.
#[derive(Debug)]
pub(super) struct StoreTask(JoinHandle<Result<()>>);

impl StoreTask {
    /// Waits until all records that were handed over are stored.
    pub(super) async fn ended(self) -> Result<()> {
        match self.0.await {
            Ok(outcome) => outcome,
            Err(error) => fail!(Code::Internal, "the log's store ended early: {error}"),
        }
    }
}
