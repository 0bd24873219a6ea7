//! Reads files periodically, to find out when they change.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// Interval between two reads. The whole content is read, because the modification time and the
/// size of a file do not show every change: timestamps may have a resolution of 1 s, and a symbolic
/// link may point to another, older file.
const INTERVAL: Duration = Duration::from_millis(500);

/// Reads files periodically, and calls `changed` with each new content. `known` is the content that
/// is in use. Ends only if `read` panics.
pub(super) async fn watch_files<R>(
    mut known: R,
    read: impl Fn() -> R + Send + Sync + 'static,
    mut changed: impl FnMut(&R),
) where
    R: PartialEq + Clone + Send + 'static,
{
    let read = Arc::new(read);
    // `known` is what was handled last, applied or rejected: each is handled once.
    let mut last = known.clone();
    loop {
        sleep(INTERVAL).await;
        let read = Arc::clone(&read);
        // The file system may be slow or remote.
        let Ok(reading) = spawn_blocking(move || read()).await else {
            return;
        };
        // Two equal readings in a row: no write is in progress.
        let is_settled = reading == last;
        if is_settled && reading != known {
            changed(&reading);
            known.clone_from(&reading);
        }
        last = reading;
    }
}
