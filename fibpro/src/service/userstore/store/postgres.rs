//! PostgreSQL: pools of sessions for reading and for writing, one transaction per operation.
//!
//! A change waits for a turn of its user and then for one of all users, both in the future of its
//! caller: if that is dropped, the change is not begun. A change that has begun is a task of its
//! own, so that a caller who leaves cannot interrupt a commit or lose its log lines.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rpc_runtime::{Code, Error, Result};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Postgres};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::clock::Clock;
use super::super::database::Database;
use super::audit::AuditLine;
use super::error::StoreError;
use super::ledger::Ledger;
use super::operations::{FindBuyer, Operation, Subject};
use super::postgres_error;
use super::postgres_sessions::{Epoch, Sessions};
use super::postgres_start::{self, StartSession};
use super::turns::{Turn, Turns};
use super::write_queue::{QueuePlace, WriteQueue};

/// Maximum number of sessions that write. More would only wait for the same disk.
const WRITERS: usize = 16;

/// Maximum number of sessions that read. They are apart, so that logins go on while changes wait.
const READERS: usize = 8;

/// Timeout of a probe for a free session, shorter than that of the probe.
const PROBE_TIMEOUT: Duration = Duration::from_millis(800);

/// Timeout for closing all sessions, shorter than that of the process.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(4);

/// Timeout for the response to the statements of an operation, above that of a statement: the host
/// of the server may be gone without a word. A commit has none, since it may wait for a standby.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);

/// Maximum attempts after conflicts.
const ATTEMPTS: u32 = 17;

/// Maximum attempts after the end of a session. The second one has a new session.
const SESSIONS: u32 = 3;

/// Database on a PostgreSQL server.
#[derive(Debug)]
pub(crate) struct Engine {
    readers: Sessions,
    writers: Sessions,
    turns: Arc<Turns>,
    clock: Clock,
}

/// Notices that a caller is gone; no value is ever sent.
type CallerGone = oneshot::Receiver<Infallible>;

/// The right to write now, of a change of this user.
#[derive(Debug)]
struct WriteTurn {
    all: Turn,
    of_user: Option<Turn>,
    _place: QueuePlace,
}

impl WriteTurn {
    /// Notes what became of the change.
    fn note<T>(&self, outcome: &Result<T, StoreError>) {
        if !outcome.as_ref().is_err_and(StoreError::is_locked) {
            self.all.note_progress();
            if let Some(turn) = &self.of_user {
                turn.note_progress();
            }
        }
    }
}

impl Engine {
    pub(super) async fn open(
        database: &Database,
        options: &PgConnectOptions,
        clock: Clock,
    ) -> Result<(Self, StartSession)> {
        let (options, start) = postgres_start::prepare(database, options).await?;
        let epoch = Epoch::default();
        let engine = Self {
            readers: Sessions::new(options.clone(), READERS, &epoch),
            writers: Sessions::new(options, WRITERS, &epoch),
            turns: Turns::new(WRITERS),
            clock,
        };
        Ok((engine, start))
    }

    pub(super) async fn read<O: Operation>(&self, operation: O) -> Result<O::Output> {
        let outcome = self.look(&operation).await;
        outcome.map_err(StoreError::into_error)
    }

    async fn look<O: Operation>(&self, operation: &O) -> Result<O::Output, StoreError> {
        let mut attempts = Attempts::default();
        loop {
            match look(&self.readers, &self.clock, operation).await {
                Err(error) if attempts.another(&error) => {}
                outcome => return outcome,
            }
        }
    }

    pub(super) async fn write<O: Operation>(
        &self,
        operation: O,
        queue: &WriteQueue,
    ) -> Result<O::Output> {
        let place = match operation.subject() {
            Subject::User(username) => queue.enter(Some(username))?,
            Subject::Unknown => queue.enter(None)?,
            // Known, so that the refunds of a user whose row is locked do not take all sessions.
            Subject::Purchase(key) => {
                let key = key.to_owned();
                let buyer = self.read(FindBuyer { key }).await?;
                queue.enter(buyer.as_deref())?
            }
        };
        let turn = self.turn(place).await.map_err(StoreError::into_error)?;
        let session = self.writers.session().await;
        let session = session.map_err(StoreError::into_error)?;
        let (sessions, clock) = (self.writers.clone(), self.clock.clone());
        let (_waiting, gone) = oneshot::channel();
        let work = rpc_runtime::spawn(async move {
            let outcome = change(&sessions, session, &clock, &operation, gone).await;
            turn.note(&outcome);
            outcome
        });
        let outcome = work.await.map_err(|error| {
            let text = "internal error: a write to the users' database panicked; whether it was done is not known";
            Error::new(Code::Internal, text).with_source(error)
        })?;
        outcome.map_err(StoreError::into_error)
    }

    /// Waits until the change may begin.
    async fn turn(&self, place: QueuePlace) -> Result<WriteTurn, StoreError> {
        let of_user = match place.turns_of_user() {
            Some(turns) => Some(turns.take().await.ok_or(StoreError::UserStalled)?),
            None => None,
        };
        Ok(WriteTurn {
            all: self.turns.take().await.ok_or(StoreError::Stalled)?,
            of_user,
            _place: place,
        })
    }

    /// Checks that the database can be read and changed. Waits for a session for the time of a
    /// probe only, so that the probe has a reason to report.
    pub(super) async fn ready(
        &self,
        read: impl Operation,
        write: impl Operation,
        queue: &WriteQueue,
    ) -> Result<()> {
        let session = timeout(PROBE_TIMEOUT, self.readers.session());
        match session.await {
            Ok(Ok(session)) => drop(session),
            // The attempts below report the error of a session that has ended.
            Ok(Err(error)) if error.is_transient() => {}
            Ok(Err(error)) => return Err(error.into_error()),
            Err(_) => return Err(Error::new(Code::Unavailable, postgres_error::AWAY)),
        }
        self.read(read).await?;
        self.write(write, queue).await?;
        Ok(())
    }

    /// Waits for running operations and closes all sessions. Ends sessions that do not respond.
    pub(super) async fn close(&self) -> Result<()> {
        let closing = async { tokio::join!(self.writers.close(), self.readers.close()) };
        if timeout(CLOSE_TIMEOUT, closing).await.is_err() {
            tracing::warn!(
                "the server of the users' database does not respond: its sessions are ended without a farewell; \
                 changes that were confirmed are in the database"
            );
        }
        Ok(())
    }
}

/// Counts the attempts of an operation.
#[derive(Default)]
struct Attempts {
    all: u32,
    sessions: u32,
}

impl Attempts {
    /// Returns whether the operation is worth another attempt after this error.
    fn another(&mut self, error: &StoreError) -> bool {
        self.all += 1;
        self.sessions += u32::from(error.ends_session());
        error.is_transient() && self.all < ATTEMPTS && self.sessions < SESSIONS
    }
}

/// Runs an operation without a transaction.
async fn look<O: Operation>(
    sessions: &Sessions,
    clock: &Clock,
    operation: &O,
) -> Result<O::Output, StoreError> {
    let mut session = sessions.session().await?;
    let mut ledger = Ledger::open(&mut *session, clock);
    let outcome = bounded(operation.run(&mut ledger)).await;
    sessions.give_back(session, outcome.as_ref().err()).await;
    outcome
}

/// Runs an operation in a transaction. Repeats it for a caller who still waits. An idempotent one
/// is also repeated if its session was lost during the commit, which may have been done.
async fn change<O: Operation>(
    sessions: &Sessions,
    mut session: PoolConnection<Postgres>,
    clock: &Clock,
    operation: &O,
    mut gone: CallerGone,
) -> Result<O::Output, StoreError> {
    let mut attempts = Attempts::default();
    loop {
        let mut commits = false;
        let outcome = transaction(&mut session, clock, operation, &mut commits).await;
        sessions.give_back(session, outcome.as_ref().err()).await;
        let error = match outcome {
            Ok((output, events)) => {
                events.iter().for_each(AuditLine::log);
                return Ok(output);
            }
            Err(error) => error,
        };
        let may_be_done = commits && error.ends_session();
        if may_be_done && !operation.is_idempotent() || !attempts.another(&error) {
            return Err(error);
        }
        session = tokio::select! {
            biased;
            _ = &mut gone => return Err(error),
            session = sessions.session() => session?,
        };
    }
}

async fn transaction<O: Operation>(
    session: &mut PoolConnection<Postgres>,
    clock: &Clock,
    operation: &O,
    commits: &mut bool,
) -> Result<(O::Output, Vec<AuditLine>), StoreError> {
    // Rolled back on drop.
    let mut transaction = bounded(async { Ok(session.begin().await?) }).await?;
    let mut ledger = Ledger::open(&mut *transaction, clock);
    let output = bounded(operation.run(&mut ledger)).await?;
    let events = ledger.events;
    *commits = true;
    transaction.commit().await?;
    Ok((output, events))
}

/// Waits for the responses of the server, up to a timeout.
async fn bounded<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match timeout(RESPONSE_TIMEOUT, work).await {
        Ok(outcome) => outcome,
        Err(elapsed) => {
            let error = io::Error::new(io::ErrorKind::TimedOut, elapsed);
            Err(StoreError::Database(sqlx::Error::Io(error)))
        }
    }
}
