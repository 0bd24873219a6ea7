//! Runs searches, including those that wait for new records.

use std::time::Duration;

use rpc_runtime::{Context, Result};

use super::store::{Filter, LogStore};
use crate::api::logsink::{Page, Query, WAIT_LIMIT_MS};

/// Minimum part of the call's deadline that is kept for the response.
const RESPONSE_RESERVE: Duration = Duration::from_millis(500);

/// Delay between two queries of a waiting search. Records that arrive in between share one
/// response.
const PAUSE: Duration = Duration::from_millis(50);

/// Returns the matching records. If there are none, waits for new ones as long as the query
/// requests.
pub(super) async fn page(store: &LogStore, query: &Query) -> Result<Page> {
    let mut filter = Filter::new(query)?;
    let wait = query.wait_ms.unwrap_or_default().min(WAIT_LIMIT_MS);
    let mut wait = Duration::from_millis(wait.into());
    if let Some(remaining) = Context::current().remaining() {
        wait = wait.min(remaining.saturating_sub(RESPONSE_RESERVE));
    }
    // The first query is a part of the wait: a slow one leaves the reserve untouched.
    let over = tokio::time::sleep(wait);
    tokio::pin!(over);
    // Subscribed before the first query, so that no record is missed between the query and the
    // wait.
    let mut head = store.head();
    let mut page = store.page(&filter).await?;
    if wait.is_zero() || !page.records.is_empty() {
        return Ok(page);
    }
    let Ok(_place) = store.followers().try_acquire() else {
        return Ok(page);
    };
    let mut stopping = store.stopping();
    while page.records.is_empty() {
        tokio::select! {
            () = &mut over => break,
            _ = stopping.wait_for(|stopping| *stopping) => break,
            changed = head.changed() => if changed.is_err() { break },
        }
        tokio::time::sleep(PAUSE).await;
        head.mark_unchanged();
        filter.after = Some(page.next);
        page = store.page(&filter).await?;
    }
    Ok(page)
}
