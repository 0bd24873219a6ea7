//! Detects a stalled runtime: blocking handlers occupy all of its threads, so calls, health probes
//! and timers do not run. Clients only see a server that does not respond; this logs the cause.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Handle;

/// Interval between two checks.
const PERIOD: Duration = Duration::from_secs(1);

/// Number of consecutive checks without progress after which the runtime counts as stalled. Checks
/// are counted, not seconds: a process that was suspended as a whole has not stalled.
const STALLED_CHECKS: u32 = 2;

/// A separate thread that watches the threads of the runtime. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct StallDetector {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A change of the runtime's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StallEvent {
    Stalled,
    Recovered,
}

impl StallDetector {
    /// Watches the current runtime.
    pub(crate) fn start() -> Self {
        Self::watch(Handle::current(), PERIOD, |event| match event {
            StallEvent::Stalled => tracing::error!(
                target: "rpc",
                "all runtime threads are blocked by handlers: the server does not respond, not even to health \
                 probes; move blocking work to `rpc_runtime::spawn_blocking`"
            ),
            StallEvent::Recovered => tracing::warn!(target: "rpc", "the runtime has recovered"),
        })
    }

    /// Starts the thread; it passes each change to `notify`.
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
                    if silent >= STALLED_CHECKS {
                        notify(StallEvent::Recovered);
                    }
                    silent = 0;
                    // Spawns a new probe only after the last one has run: one pending task is
                    // enough.
                    let moved = Arc::clone(&moved);
                    runtime.spawn(async move { moved.store(true, Ordering::Release) });
                } else {
                    silent += 1;
                    if silent == STALLED_CHECKS {
                        notify(StallEvent::Stalled);
                    }
                }
                thread::park_timeout(period);
            }
        };
        let thread = thread::Builder::new().name("rpc-stall-check".to_owned());
        let thread = thread.spawn(watching).inspect_err(|error| {
            tracing::warn!(target: "rpc", %error, "failed to start the stall detector: a stalled runtime will not be logged");
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
            // Not joined: the thread ends at its next check and has no work to finish.
            thread.thread().unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_stalled_runtime_is_detected() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        let (notify, events) = channel();
        let notify = move |event| {
            // Fails if the test has ended.
            let _ = notify.send(event);
        };
        let timeout = Duration::from_secs(20);
        let _detector =
            StallDetector::watch(runtime.handle().clone(), Duration::from_millis(2), notify);
        let (go, blocked) = channel::<()>();
        let blocked = Arc::new(std::sync::Mutex::new(blocked));
        for _ in 0..2 {
            let blocked = Arc::clone(&blocked);
            // One task blocks on the channel and the other on the lock, so both threads are
            // blocked.
            runtime.spawn(async move { blocked.lock().unwrap().recv() });
        }
        assert_eq!(events.recv_timeout(timeout), Ok(StallEvent::Stalled));
        drop(go);
        assert_eq!(events.recv_timeout(timeout), Ok(StallEvent::Recovered));
    }
}
