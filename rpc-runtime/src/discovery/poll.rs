//! A list of addresses that is read again in an interval.

use std::time::Duration;

use tokio::time::sleep;

use super::{Discover as _, DynamicAddresses};

/// The bounds of the time after which a source with an expiry is read again.
const MIN_VALID: Duration = Duration::from_secs(1);
const MAX_VALID: Duration = Duration::from_secs(60);

/// The addresses, or why there are none.
pub(super) type Outcome = Result<Found, String>;

/// The addresses that a source has.
#[derive(Debug, Clone)]
pub(super) struct Found {
    urls: Vec<String>,
    /// The time for which they are valid, if the source tells it.
    valid: Option<Duration>,
}

impl Found {
    pub(super) fn new(urls: Vec<String>, valid: Option<Duration>) -> Self {
        Self { urls, valid }
    }
}

/// Reads the addresses until the list is dropped, on a task: in this interval, or when they expire.
/// A failure keeps the list; it is logged when it begins and when it changes, and so is its end.
pub(super) fn poll<F, Fut>(list: &DynamicAddresses, interval: Duration, first: Outcome, read: F)
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send,
{
    let mut problem = None;
    let mut wait = time_to_next(&first, interval);
    apply(list, first, &mut problem);
    let list = list.downgrade();
    tokio::spawn(async move {
        loop {
            sleep(wait).await;
            // Before the list is upgraded, since reading may take long.
            let outcome = read().await;
            wait = time_to_next(&outcome, interval);
            let Some(list) = list.upgrade() else { return };
            apply(&list, outcome, &mut problem);
        }
    });
}

fn time_to_next(outcome: &Outcome, interval: Duration) -> Duration {
    let valid = outcome.as_ref().ok().and_then(|found| found.valid);
    valid.map_or(interval, |valid| valid.clamp(MIN_VALID, MAX_VALID))
}

fn apply(list: &DynamicAddresses, outcome: Outcome, problem: &mut Option<String>) {
    let name = list.name();
    match outcome {
        Ok(Found { urls, .. }) => {
            if problem.take().is_some() {
                tracing::info!(target: "rpc", service = name, "the addresses of the service can be read again");
            }
            let current = list.addresses();
            if !current
                .iter()
                .map(|url| &**url)
                .eq(urls.iter().map(String::as_str))
            {
                tracing::info!(target: "rpc", service = name, addresses = urls.join(", "), "the addresses of the service have changed");
                list.set(urls);
            }
        }
        Err(error) => {
            if problem.as_ref() != Some(&error) {
                let kept = list.addresses().len();
                tracing::warn!(target: "rpc", service = name, error, kept, "failed to read the addresses of the service; the last ones are kept");
                *problem = Some(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::sync::MutexExt as _;

    const INTERVAL: Duration = Duration::from_secs(1);

    fn urls(list: &DynamicAddresses) -> Vec<String> {
        list.addresses().iter().map(ToString::to_string).collect()
    }

    fn found(urls: &[&str]) -> Found {
        let urls = urls.iter().map(ToString::to_string);
        Found::new(urls.collect(), None)
    }

    async fn pass() {
        sleep(INTERVAL + Duration::from_millis(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_follows_its_source_and_survives_failures() {
        let list = DynamicAddresses::new("shop", Vec::<String>::new());
        let source = Arc::new(Mutex::new(Ok(found(&["http://a:1"]))));
        let read = Arc::clone(&source);
        poll(&list, INTERVAL, Err("not yet".to_owned()), move || {
            let outcome = read.lock_unpoisoned().clone();
            async move { outcome }
        });
        assert!(urls(&list).is_empty());
        pass().await;
        assert_eq!(urls(&list), ["http://a:1"]);
        let same = list.addresses();
        pass().await;
        // Clients recognize a list that has not changed.
        assert!(same.is_same(&list.addresses()));
        *source.lock_unpoisoned() = Err("broken".to_owned());
        pass().await;
        assert_eq!(urls(&list), ["http://a:1"]);
        *source.lock_unpoisoned() = Ok(found(&["http://b:1", "http://c:1"]));
        pass().await;
        assert_eq!(urls(&list), ["http://b:1", "http://c:1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_ends_with_the_list() {
        let list = DynamicAddresses::new("shop", ["http://a:1"]);
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reads);
        poll(&list, INTERVAL, Ok(found(&[])), move || {
            counted.fetch_add(1, Ordering::SeqCst);
            async { Ok(found(&[])) }
        });
        pass().await;
        drop(list);
        for _ in 0..5 {
            pass().await;
        }
        assert_eq!(reads.load(Ordering::SeqCst), 2);
        assert_eq!(Arc::strong_count(&reads), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_that_expire_are_read_again_then() {
        for (valid, waits) in [
            (Duration::ZERO, MIN_VALID),
            (Duration::from_secs(7), Duration::from_secs(7)),
            (Duration::MAX, MAX_VALID),
        ] {
            let list = DynamicAddresses::new("shop", Vec::<String>::new());
            let reads = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&reads);
            let outcome = || Ok(Found::new(Vec::new(), Some(valid)));
            poll(&list, INTERVAL / 2, outcome(), move || {
                counted.fetch_add(1, Ordering::SeqCst);
                async move { Ok(Found::new(Vec::new(), Some(valid))) }
            });
            sleep(waits - Duration::from_millis(1)).await;
            assert_eq!(reads.load(Ordering::SeqCst), 0, "{valid:?}");
            sleep(Duration::from_millis(2)).await;
            assert_eq!(reads.load(Ordering::SeqCst), 1, "{valid:?}");
        }
    }
}
