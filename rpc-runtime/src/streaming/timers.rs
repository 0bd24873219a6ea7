//! The times at which a stream ends although neither side ends it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{self, Poll};
use std::time::{Duration, Instant as StdInstant};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::duration::saturating_deadline;
use crate::error::{Code, Error};

/// The time of the last message of a call, in either direction. Clones are of the same call.
#[derive(Debug, Clone)]
pub(crate) struct StreamActivity {
    opened: Instant,
    /// In milliseconds since `opened`.
    last: Arc<AtomicU64>,
}

impl StreamActivity {
    pub(crate) fn new() -> Self {
        Self {
            opened: Instant::now(),
            last: Arc::default(),
        }
    }

    /// Records a message.
    pub(crate) fn touch(&self) {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.opened + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }
}

/// The deadline of a stream, and the longest time between two of its messages.
#[derive(Debug)]
pub(crate) struct StreamTimers {
    deadline: Option<Pin<Box<Sleep>>>,
    activity: StreamActivity,
    idle_timeout: Duration,
    /// Created when the stream waits for the first time. A message does not reset it: it is set
    /// again when it has fired too early.
    idle: Option<Pin<Box<Sleep>>>,
}

impl StreamTimers {
    pub(crate) fn new(
        deadline: Option<StdInstant>,
        activity: StreamActivity,
        idle_timeout: Duration,
    ) -> Self {
        Self {
            deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline.into()))),
            activity,
            idle_timeout,
            idle: None,
        }
    }

    /// Returns the error of a stream whose deadline has passed. Ready streams are not stopped by
    /// anything else.
    pub(crate) fn poll_deadline(&mut self, cx: &mut task::Context<'_>) -> Poll<Error> {
        match &mut self.deadline {
            Some(deadline) => deadline
                .as_mut()
                .poll(cx)
                .map(|()| Error::deadline_exceeded()),
            None => Poll::Pending,
        }
    }

    /// Returns the error of a stream that has waited for too long.
    pub(crate) fn poll_idle(&mut self, cx: &mut task::Context<'_>) -> Poll<Error> {
        loop {
            let end = self.idle_end();
            let idle = self.idle.get_or_insert_with(|| Box::pin(sleep_until(end)));
            if idle.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if end <= Instant::now() {
                let text = format!(
                    "no message was sent or received on the stream for {:?}",
                    self.idle_timeout
                );
                return Poll::Ready(Error::without_location(Code::DeadlineExceeded, text));
            }
            idle.as_mut().reset(end);
        }
    }

    fn idle_end(&self) -> Instant {
        let last = self.activity.last().into_std();
        saturating_deadline(last, self.idle_timeout).into()
    }
}
