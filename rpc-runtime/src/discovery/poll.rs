//! A list of addresses that is read again in an interval.

use std::time::Duration;

use tokio::time::sleep;

use super::{Discover as _, DynamicAddresses};

/// The addresses, or why there are none.
pub(super) type Outcome = Result<Vec<String>, String>;

/// Reads the addresses in this interval until the list is dropped, on a task. A failure keeps the
/// list; it is logged when it begins and when it changes, and so is its end.
pub(super) fn poll<F, Fut>(list: &DynamicAddresses, interval: Duration, first: Outcome, read: F)
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send,
{
    let mut problem = None;
    apply(list, first, &mut problem);
    let list = list.downgrade();
    tokio::spawn(async move {
        loop {
            sleep(interval).await;
            // Before the list is upgraded, since reading may take long.
            let outcome = read().await;
            let Some(list) = list.upgrade() else { return };
            apply(&list, outcome, &mut problem);
        }
    });
}

fn apply(list: &DynamicAddresses, outcome: Outcome, problem: &mut Option<String>) {
    let name = list.name();
    match outcome {
        Ok(urls) => {
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

    async fn pass() {
        sleep(INTERVAL + Duration::from_millis(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_follows_its_source_and_survives_failures() {
        let list = DynamicAddresses::new("shop", Vec::<String>::new());
        let source = Arc::new(Mutex::new(Ok(vec!["http://a:1".to_owned()])));
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
        *source.lock_unpoisoned() = Ok(vec!["http://b:1".to_owned(), "http://c:1".to_owned()]);
        pass().await;
        assert_eq!(urls(&list), ["http://b:1", "http://c:1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_ends_with_the_list() {
        let list = DynamicAddresses::new("shop", ["http://a:1"]);
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reads);
        poll(&list, INTERVAL, Ok(Vec::new()), move || {
            counted.fetch_add(1, Ordering::SeqCst);
            async { Ok(Vec::new()) }
        });
        pass().await;
        drop(list);
        for _ in 0..5 {
            pass().await;
        }
        assert_eq!(reads.load(Ordering::SeqCst), 2);
        assert_eq!(Arc::strong_count(&reads), 1);
    }
}
