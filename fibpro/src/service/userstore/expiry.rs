//! Reservations that nobody settles or refunds return to their users.
//!
//! Whatever is done with a user returns what is overdue before, so a credit is right without this task. The task is for
//! users with whom nothing is done, and for the ledger and the log.

use std::sync::Arc;
use std::time::Duration;

use rpc_runtime::Result;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::store::{FindOverdue, ReturnOverdue, Store};

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(5);

/// The task; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Expiry(JoinHandle<()>);

impl Expiry {
    pub(super) fn start(store: Arc<Store>) -> Self {
        // With the context of the one who opens the store: these lines are the user store's.
        Self(rpc_runtime::spawn(async move {
            let mut failing = false;
            let mut ticks = tokio::time::interval(PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let outcome = return_overdue(&store).await;
                // Once, and not every five seconds.
                if let (Err(error), false) = (&outcome, failing) {
                    tracing::warn!("reservations that are overdue cannot be returned: {error}");
                }
                failing = outcome.is_err();
            }
        }))
    }
}

impl Drop for Expiry {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Returns all that is overdue; answers how many reservations that were.
pub(super) async fn return_overdue(store: &Store) -> Result<usize> {
    let mut returned = 0;
    loop {
        let users = store.read(FindOverdue).await?;
        if users.is_empty() {
            return Ok(returned);
        }
        for username in users {
            returned += store.write(ReturnOverdue { username }).await?;
        }
    }
}
