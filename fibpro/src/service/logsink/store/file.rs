//! The database file: opening, locking, checking and replacing it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rpc_runtime::files::{self, FileError, FileLock};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _};

use super::error::{LogStoreError, LogStoreErrorKind};

/// Migrations of the schema.
static MIGRATIONS: Migrator = sqlx::migrate!("src/service/logsink/store/migrations");

/// Page size of a new file, in bytes; currently SQLite's default.
const PAGE_BYTES: u32 = 4096;

/// Largest file that is checked for damage at the start, in bytes.
const MAX_CHECKED_BYTES: u64 = 256 << 20;

/// Timeout for a lock that another process holds.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum number of concurrent searches.
const MAX_READERS: u32 = 4;

/// Timeout of a search for a free connection.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum share of the size limit for the write-ahead log, in bytes; a quarter for small files.
const MAX_WAL_BYTES: u64 = 8 << 20;

/// Returns the part of the size limit `bytes` that is reserved for the write-ahead log.
pub(super) fn ahead(bytes: u64) -> u64 {
    (bytes / 4).min(MAX_WAL_BYTES)
}

/// Returns the options common to the writer and the readers.
fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(LOCK_TIMEOUT)
        // A log line for each statement would be most of the log.
        .disable_statement_logging()
}

/// Opens the file for writing, creates it if it is missing, and applies migrations.
pub(super) async fn open(path: &Path, bytes: u64) -> Result<SqliteConnection, LogStoreError> {
    // SQLite would create the file readable for all users; `-wal` and `-shm` inherit the mode of
    // the file. An existing file is not opened here: closing it would release the POSIX locks of
    // the readers.
    match owner_only().create_new(true).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(open_error(error));
        }
        _ => {}
    }
    // A checkpoint starts at a quarter of the reserve; the rest is for the transaction that exceeds
    // it.
    let mark = ahead(bytes) / 4 / u64::from(PAGE_BYTES);
    let options = options(path)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        // Safe when the process is killed. A power failure may lose the last transactions, but does
        // not corrupt the file.
        .synchronous(SqliteSynchronous::Normal)
        // The writer maintains the references; a lookup for each record would cost time.
        .foreign_keys(false)
        .page_size(PAGE_BYTES)
        .pragma("journal_size_limit", ahead(bytes).to_string())
        .pragma("wal_autocheckpoint", mark.to_string());
    // A pool with one connection: the future of migrations on a plain connection is not `Send`.
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECTION_TIMEOUT)
        .connect_with(options)
        .await?;
    let opened = async {
        check_tables(&pool).await?;
        MIGRATIONS.run(&pool).await?;
        Ok(pool.acquire().await?.detach())
    }
    .await;
    if opened.is_err() {
        pool.close().await;
    }
    opened
}

/// Checks that the file is empty or a log store.
async fn check_tables(pool: &SqlitePool) -> Result<(), LogStoreError> {
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            .fetch_all(pool)
            .await?;
    let has = |name: &str| tables.iter().any(|table| table == name);
    // A start that was interrupted leaves only the table of migrations.
    let is_new = tables.iter().all(|table| table == "_sqlx_migrations");
    if is_new || (has("records") && has("sources")) {
        return Ok(());
    }
    let tables = tables.join(", ");
    Err(LogStoreError::new(
        LogStoreErrorKind::Foreign,
        format!("it has the tables {tables}"),
    ))
}

/// Checks the whole file for damage. Skipped for large files, where damage is found on access.
pub(super) async fn check(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<(), LogStoreError> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > MAX_CHECKED_BYTES) {
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

/// Returns a lazy pool of read-only connections. Searches work also while writing fails.
pub(super) fn readers(path: &Path) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(MAX_READERS)
        .min_connections(0)
        .acquire_timeout(CONNECTION_TIMEOUT)
        .test_before_acquire(false)
        .connect_lazy_with(options(path).read_only(true))
}

/// Checkpoints the write-ahead log and closes the file, also after an error. Returns only when the
/// file is closed: the last connection removes the `-wal` file by name, which could by then belong
/// to a new file.
pub(super) async fn close(mut connection: SqliteConnection) -> Result<(), LogStoreError> {
    let moved = sqlx::query_scalar::<_, i64>("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(&mut connection)
        .await;
    connection.close().await?;
    match moved? {
        0 => Ok(()),
        _ => Err(LogStoreError::new(
            LogStoreErrorKind::Locked,
            "another process uses it",
        )),
    }
}

fn untrusted(error: FileError) -> LogStoreError {
    match error {
        FileError::Io(error) => open_error(error),
        error => LogStoreError::new(LogStoreErrorKind::Untrusted, error),
    }
}

fn open_error(error: io::Error) -> LogStoreError {
    let kind = match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => LogStoreErrorKind::ReadOnly,
        io::ErrorKind::StorageFull => LogStoreErrorKind::Full,
        _ => LogStoreErrorKind::CannotOpen,
    };
    LogStoreError::new(kind, error)
}

/// Returns options that create a file with mode 0600, because logs contain personal data.
fn owner_only() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true).mode(0o600);
    options
}

/// Creates the folder of the file and takes an exclusive lock that is held until the returned file
/// is dropped.
pub(super) fn lock(path: &Path) -> Result<FileLock, LogStoreError> {
    if let Some(folder) = path.parent() {
        files::create_folder(folder).map_err(open_error)?;
    }
    files::check_file(path).map_err(untrusted)?;
    let path = with_suffix(path, ".lock");
    FileLock::acquire(&path)
        .map_err(open_error)?
        .ok_or_else(|| {
            let text = format!("{} is locked", path.display());
            LogStoreError::new(LogStoreErrorKind::InUse, text)
        })
}

/// Device and inode numbers of a file and of its `-wal`, where they exist, to notice when they are
/// replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileIdentity([Option<(u64, u64)>; 2]);

impl FileIdentity {
    pub(super) fn of(path: &Path) -> Self {
        let identity = |path: &Path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.dev(), metadata.ino()))
        };
        Self([identity(path), identity(&with_suffix(path, "-wal"))])
    }

    /// Returns whether the file exists.
    pub(super) fn exists(self) -> bool {
        self.0[0].is_some()
    }

    /// Returns whether the file is missing and its `-wal` is not, as while the file is renamed and
    /// back.
    pub(super) fn is_wal_alone(self) -> bool {
        matches!(self.0, [None, Some(_)])
    }
}

/// Ends of the names of the files of a database. The order is that in which they are moved: SQLite
/// would apply a `-wal` that stays to a new file.
const SUFFIXES: [&str; 3] = ["-wal", "-shm", ""];

/// Renames a damaged file and its `-wal` and `-shm`, where they exist. Returns the new path.
pub(super) fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let is_free = |aside: &PathBuf| !SUFFIXES.iter().any(|end| with_suffix(aside, end).exists());
    let free = (1..u32::MAX)
        .map(|number| with_suffix(path, &format!(".corrupt-{number}")))
        .find(is_free)
        .ok_or(io::ErrorKind::AlreadyExists)?;
    for ending in SUFFIXES {
        match fs::rename(with_suffix(path, ending), with_suffix(&free, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(free)
}

/// Appends a suffix to a path: `logs.sqlite` and `-wal` give `logs.sqlite-wal`.
pub(super) fn with_suffix(path: &Path, ending: &str) -> PathBuf {
    let mut suffixed = path.as_os_str().to_owned();
    suffixed.push(ending);
    suffixed.into()
}
