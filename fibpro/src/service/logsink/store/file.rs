//! The file: opening it, whose it is, and what becomes of a damaged one.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _};

use super::error::{LogStoreError, LogStoreErrorKind};

/// What made the tables, step by step.
static MIGRATIONS: Migrator = sqlx::migrate!("src/service/logsink/store/migrations");

/// The pages of a file that is made anew; SQLite's own choice today.
const PAGE_BYTES: u32 = 4096;

/// The largest file that is looked through at the start, in bytes.
const CHECKED: u64 = 256 << 20;

/// How long to wait for another process that has the file locked.
const BUSY: Duration = Duration::from_secs(2);

/// How many searches run at one time.
const READERS: u32 = 4;

/// How long a search waits for its turn.
const TURN: Duration = Duration::from_secs(5);

/// What is left of a file's bound for the log that SQLite writes ahead, in bytes; of a small file a quarter.
const AHEAD: u64 = 8 << 20;

/// How much of `bytes` the log that is written ahead may take.
pub(super) fn ahead(bytes: u64) -> u64 {
    (bytes / 4).min(AHEAD)
}

/// The options that writer and readers share.
fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        // A line of our own log for each statement would be most of it.
        .disable_statement_logging()
}

/// Opens the file for writing, makes it where it is missing, and brings it to the form of today.
pub(super) async fn open(path: &Path, bytes: u64) -> Result<SqliteConnection, LogStoreError> {
    // SQLite would make it for everybody to read. What it puts beside the file has the file's mode. One that is there is
    // not even opened: to close it again would end the locks that our readers have on it.
    match for_its_owner().create_new(true).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(closed(error)),
        _ => {}
    }
    // A quarter before it is moved to its place; the rest is for the transaction that passes that mark.
    let mark = ahead(bytes) / 4 / u64::from(PAGE_BYTES);
    let options = options(path)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        // Safe from the death of the process. A power cut may take the last moments, and never damages the file.
        .synchronous(SqliteSynchronous::Normal)
        // References are ours to keep, and a look-up for each record is not free.
        .foreign_keys(false)
        .page_size(PAGE_BYTES)
        .pragma("journal_size_limit", ahead(bytes).to_string())
        .pragma("wal_autocheckpoint", mark.to_string());
    // A pool of one, because the migrations of a bare connection are no future that a task may run.
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(TURN)
        .connect_with(options)
        .await?;
    let opened = async {
        MIGRATIONS.run(&pool).await?;
        Ok(pool.acquire().await?.detach())
    }
    .await;
    if opened.is_err() {
        pool.close().await;
    }
    opened
}

/// Looks whether all of the file can be read, unless it is so large that it would take long: damage in such a file is met
/// where it is.
pub(super) async fn check(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<(), LogStoreError> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > CHECKED) {
        return Ok(());
    }
    let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(connection)
        .await?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(LogStoreError::new(LogStoreErrorKind::Corrupt, verdict))
    }
}

/// Connections that read, made when they are needed: whatever is wrong with writing, what can be read is read.
pub(super) fn readers(path: &Path) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .min_connections(0)
        .acquire_timeout(TURN)
        .test_before_acquire(false)
        .connect_lazy_with(options(path).read_only(true))
}

/// Moves what was written ahead to its place and closes the file. Returns when it is closed, whatever fails: who closes a
/// file last removes its `-wal` by name, and that may be the name of another file's by then.
pub(super) async fn close(mut connection: SqliteConnection) -> Result<(), LogStoreError> {
    let moved = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut connection)
        .await;
    connection.close().await?;
    moved?;
    Ok(())
}

fn closed(error: io::Error) -> LogStoreError {
    let kind = match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => LogStoreErrorKind::ReadOnly,
        io::ErrorKind::StorageFull => LogStoreErrorKind::Full,
        _ => LogStoreErrorKind::CannotOpen,
    };
    LogStoreError::new(kind, error)
}

/// How to make a file that is for its owner only, since logs tell of people.
fn for_its_owner() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true).mode(0o600);
    options
}

/// Makes the folder of the file, and says that the file is ours for as long as the lock lives.
pub(super) fn take(path: &Path) -> Result<File, LogStoreError> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(closed)?;
    }
    let lock = for_its_owner()
        .create(true)
        .truncate(false)
        .open(beside(path, ".lock"))
        .map_err(closed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(LogStoreError::new(
            LogStoreErrorKind::InUse,
            format!("{} is locked", beside(path, ".lock").display()),
        )),
        Err(TryLockError::Error(error)) => Err(closed(error)),
    }
}

/// Which file it is that a path leads to, so that another one in its place is noticed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileIdentity([(u64, u64); 2]);

impl FileIdentity {
    /// The file and what is written ahead of it; `None` where one of them is not there.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let identity = |path: &Path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.dev(), metadata.ino()))
        };
        Some(Self([identity(path)?, identity(&beside(path, "-wal"))?]))
    }
}

/// Moves a damaged file out of the way, with what belongs to it; says where it is now.
pub(super) fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let free = (1..u32::MAX)
        .map(|number| beside(path, &format!(".corrupt-{number}")))
        .find(|aside| !aside.exists())
        .ok_or(io::ErrorKind::AlreadyExists)?;
    for ending in ["-wal", "-shm", ""] {
        match fs::rename(beside(path, ending), beside(&free, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(free)
}

/// `logs.sqlite` and `-wal` make `logs.sqlite-wal`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(ending);
    beside.into()
}
