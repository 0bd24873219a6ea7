//! The work that remains when a service stops.

use std::time::Duration;

use rpc_runtime::{Code, Error, Result};

use crate::service::logsink::{LogStore, WriterHandle};
use crate::service::userstore::Users;

/// Timeout for this work.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The work that remains when a service stops: the log sink writes its last records, the user store
/// closes its database.
#[derive(Debug, Default)]
#[must_use = "records that are not yet written are lost unless this is awaited"]
pub struct ShutdownTasks {
    store: Option<LogStore>,
    writing: Option<WriterHandle>,
    users: Option<Users>,
}

impl ShutdownTasks {
    /// Returns the work of the log sink.
    pub(super) fn logsink(store: Option<LogStore>, writing: WriterHandle) -> Self {
        Self {
            store,
            writing: Some(writing),
            users: None,
        }
    }

    /// Returns the work of the user store.
    pub(super) fn userstore(users: Users) -> Self {
        Self {
            users: Some(users),
            ..Self::default()
        }
    }

    /// Ends searches that wait for records; otherwise the drain of the server would wait for them.
    pub fn begin(&self) {
        if let Some(store) = &self.store {
            store.stop_waiting();
        }
    }

    /// Waits, after the server has stopped, until all records are printed and stored, and the
    /// database of the users is closed.
    ///
    /// # Errors
    ///
    /// As [`WriterHandle::finish`] and [`Users::close`]; `deadline_exceeded` if the database is not
    /// closed in time.
    pub async fn finish(self) -> Result<()> {
        if let Some(users) = self.users {
            tokio::time::timeout(TIMEOUT, users.close())
                .await
                .map_err(|_| {
                    let text = "the users' database was not closed in time; changes that were confirmed are in it, with an SQLite database in its -wal file";
                    Error::new(Code::DeadlineExceeded, text)
                })??;
        }
        match self.writing {
            Some(writing) => writing.finish(TIMEOUT).await,
            None => Ok(()),
        }
    }
}
