//! Returns expired reservations to their users.
//!
//! Setting the credit, reserving and reading the ledger first return the user's expired
//! reservations, so they see the correct credit without this task. Settling and refunding expire
//! only their own purchase; the credit that they report may lack other expired reservations until
//! this task has run. The task also covers users without activity.

use std::sync::Arc;
use std::time::Duration;

use rpc_runtime::Result;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::store::{FindOverdue, ReturnOverdue, Store};

/// Interval between two runs.
const PERIOD: Duration = Duration::from_secs(5);

/// Background task; it is aborted on drop.
#[derive(Debug)]
pub(super) struct Expiry(JoinHandle<()>);

impl Expiry {
    pub(super) fn start(store: Arc<Store>) -> Self {
        // Spawned with the context of the opener, so that log lines name the user store.
        Self(rpc_runtime::spawn(async move {
            let mut failing = false;
            let mut ticks = tokio::time::interval(PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let outcome = return_overdue(&store).await;
                // Logged once, and not every five seconds.
                if let (Err(error), false) = (&outcome, failing) {
                    tracing::warn!("cannot refund expired reservations: {error}");
                }
                failing = outcome.is_err();
            }
        }))
    }
}

impl Expiry {
    /// Stops the task. An operation that it has begun is finished by the store.
    pub(super) fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for Expiry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Returns all expired reservations. Returns their number.
///
/// # Errors
///
/// The first error; the reservations of other users are returned all the same.
pub(super) async fn return_overdue(store: &Store) -> Result<usize> {
    let (mut returned, mut failed) = (0, None);
    let mut after = String::new();
    loop {
        let users = store.read(FindOverdue { after }).await?;
        let Some(last) = users.last() else {
            return failed.map_or(Ok(returned), Err);
        };
        after = last.clone();
        for username in users {
            match store.write(ReturnOverdue { username }).await {
                Ok(count) => returned += count,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
    }
}
