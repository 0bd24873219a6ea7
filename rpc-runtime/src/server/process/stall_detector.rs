//! Notices that a runtime stands still: handlers that block have taken all of its threads, and neither calls nor probes
//! nor timers get a turn. Whoever looks at the server from outside only sees silence; this says why.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Handle;

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(1);

/// How many looks in a row must find nothing moved. Looks and not seconds: a process that was stopped as a whole is no
/// runtime that stands still.
const LOOKS: u32 = 2;

/// A thread of its own, since those of the runtime are what it watches. Ends when this is dropped.
#[derive(Debug)]
pub(crate) struct StallDetector {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What it has noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StallEvent {
    Stalled,
    Recovered,
}

impl StallDetector {
    /// Watches the runtime that this is called in.
    pub(crate) fn start() -> Self {
        Self::watch(Handle::current(), PERIOD, |notice| match notice {
            StallEvent::Stalled => tracing::error!(
                target: "rpc",
                "no thread of the runtime gets on: handlers block all of them, so nothing is answered, probes included; \
                 run what blocks by `rpc_runtime::spawn_blocking`"
            ),
            StallEvent::Recovered => tracing::warn!(target: "rpc", "the runtime goes on"),
        })
    }

    fn watch(
        runtime: Handle,
        period: Duration,
        notify: impl Fn(StallEvent) + Send + 'static,
    ) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stopped);
        let watching = move || {
            let moved = Arc::new(AtomicBool::new(true));
            let mut silent = 0;
            while !seen.load(Ordering::Acquire) {
                if moved.swap(false, Ordering::AcqRel) {
                    if silent >= LOOKS {
                        notify(StallEvent::Recovered);
                    }
                    silent = 0;
                    // One that waits for a turn is enough.
                    let moved = Arc::clone(&moved);
                    runtime.spawn(async move { moved.store(true, Ordering::Release) });
                } else {
                    silent += 1;
                    if silent == LOOKS {
                        notify(StallEvent::Stalled);
                    }
                }
                thread::park_timeout(period);
            }
        };
        let thread = thread::Builder::new().name("rpc-watchdog".to_owned());
        let thread = thread.spawn(watching).inspect_err(|error| {
            tracing::warn!(target: "rpc", %error, "nobody watches whether the runtime stands still");
        });
        Self {
            stopped,
            thread: thread.ok(),
        }
    }
}

impl Drop for StallDetector {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // Not waited for: it ends at its next look, and has nothing to lose.
            thread.thread().unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn row_57_a_runtime_whose_threads_are_all_blocked_is_noticed() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        let (notify, events) = channel();
        // The test may be over.
        let notify = move |notice| {
            // A test that has seen enough is gone.
            let _ = notify.send(notice);
        };
        let patience = Duration::from_secs(20);
        let _watchdog =
            StallDetector::watch(runtime.handle().clone(), Duration::from_millis(2), notify);
        let (go, blocked) = channel::<()>();
        let blocked = Arc::new(std::sync::Mutex::new(blocked));
        for _ in 0..2 {
            let blocked = Arc::clone(&blocked);
            // One waits for the channel and the other for the lock: neither gives its thread back.
            runtime.spawn(async move { blocked.lock().unwrap().recv() });
        }
        assert_eq!(events.recv_timeout(patience), Ok(StallEvent::Stalled));
        drop(go);
        assert_eq!(events.recv_timeout(patience), Ok(StallEvent::Recovered));
    }
}
