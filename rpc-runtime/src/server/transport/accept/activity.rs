//! What a connection is doing, and how long it may.
//!
//! | a connection that | is closed after |
//! | --- | --- |
//! | sends nothing that tells its protocol | `first_byte_timeout`, see `connection` |
//! | has begun the head of a request (HTTP/1) | `header_timeout`, however it drips |
//! | waits between two requests | `idle_timeout` |
//! | does not take what we write | `idle_timeout` without a byte |
//! | has a call running | never: the call has a deadline, and its body a time of its own |
//!
//! hyper's own timer for headers cannot tell the second from the third, and makes a timer a request. Here one timer
//! serves the whole connection and is hardly ever touched: see [`ConnectionTimer`].

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::io::Protocol;
use crate::server::limits::Limits;
use crate::sync::MutexExt as _;

/// What a connection is doing. Shared by its bytes, its calls and its timer.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<ActivityState>,
    header_timeout: Duration,
    idle_timeout: Duration,
    /// Whether the bytes of a peer that has no call running begin a request. In HTTP/2 they may be of any frame.
    has_heads: bool,
}

#[derive(Debug)]
struct ActivityState {
    /// Calls from their head to the end of their answer.
    calls: usize,
    /// Whether a head has begun.
    head: bool,
    /// When the head began, or when the last call ended.
    since: Instant,
    /// Since when the peer has taken nothing of what we write.
    blocked: Option<Instant>,
    /// Whether an answer has gone out that left a part of its request unread.
    unread: bool,
}

impl Activity {
    pub(super) fn new(limits: &Limits, protocol: Protocol) -> Self {
        let has_heads = protocol == Protocol::Http1;
        Self {
            state: Mutex::new(ActivityState {
                calls: 0,
                // The bytes that told the protocol are its first.
                head: has_heads,
                since: Instant::now(),
                blocked: None,
                unread: false,
            }),
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            has_heads,
        }
    }

    /// Bytes have arrived.
    pub(super) fn received(&self) {
        let mut state = self.state();
        if self.has_heads && state.calls == 0 && !state.head {
            state.head = true;
            state.since = Instant::now();
        }
    }

    /// The peer takes no more bytes for now.
    pub(super) fn write_blocked(&self) {
        self.state().blocked.get_or_insert_with(Instant::now);
    }

    /// The peer has taken bytes.
    pub(super) fn write_moved(&self) {
        let mut state = self.state();
        if state.blocked.take().is_some() {
            // A peer that is still reading its last answer does not idle yet.
            state.since = Instant::now();
        }
    }

    /// The head of a request is there; the call runs until the guard is dropped.
    pub(super) fn call(self: &Arc<Self>) -> CallGuard {
        let mut state = self.state();
        state.calls += 1;
        state.head = false;
        CallGuard(self.clone())
    }

    /// Notes that the last answer left a part of its request unread.
    pub(super) fn left_unread(&self) {
        self.state().unread = true;
    }

    pub(super) fn has_unread(&self) -> bool {
        self.state().unread
    }

    /// When the connection is to be closed if nothing changes.
    fn deadline(&self) -> Option<Instant> {
        let state = self.state();
        let patience = match (&state.blocked, state.calls) {
            (Some(blocked), _) => return Some(*blocked + self.idle_timeout),
            (None, 0) if state.head => self.header_timeout,
            (None, 0) => self.idle_timeout,
            (None, _) => return None,
        };
        Some(state.since + patience)
    }

    fn state(&self) -> MutexGuard<'_, ActivityState> {
        self.state.lock_unpoisoned()
    }
}

/// A call from its head to the end of its answer.
#[derive(Debug)]
pub(super) struct CallGuard(Arc<Activity>);

impl CallGuard {
    /// Of the connection that the call runs on.
    pub(super) fn activity(&self) -> &Activity {
        &self.0
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.calls -= 1;
        state.since = Instant::now();
    }
}

/// Rings when a connection has waited too long.
///
/// A deadline usually moves away before it is reached, so the timer is not set anew for every request: it rings at the
/// first deadline, looks for the current one, and sleeps on.
#[derive(Debug)]
pub(super) struct ConnectionTimer {
    activity: Arc<Activity>,
    sleep: Pin<Box<Sleep>>,
}

impl ConnectionTimer {
    pub(super) fn new(activity: Arc<Activity>) -> Self {
        let first = activity.deadline().unwrap_or_else(Instant::now);
        Self {
            activity,
            sleep: Box::pin(sleep_until(first)),
        }
    }

    /// To be polled after the connection: whatever changes the deadline wakes the connection's task.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(deadline) = self.activity.deadline() else {
                return Poll::Pending;
            };
            if self.sleep.is_elapsed() || deadline < self.sleep.deadline() {
                self.sleep.as_mut().reset(deadline);
            }
            ready!(self.sleep.as_mut().poll(cx));
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn activity(protocol: Protocol) -> Arc<Activity> {
        let limits = Limits {
            header_timeout: 2 * SECOND,
            idle_timeout: 10 * SECOND,
            ..Limits::default()
        };
        Arc::new(Activity::new(&limits, protocol))
    }

    /// How long it takes to ring, in whole seconds: the clock of a timer ticks in milliseconds.
    async fn rings(timer: &mut ConnectionTimer) -> Duration {
        let start = Instant::now();
        poll_fn(|cx| timer.poll(cx)).await;
        Duration::from_secs((start.elapsed() + SECOND / 2).as_secs())
    }

    async fn is_quiet(timer: &mut ConnectionTimer, time: Duration) {
        tokio::time::timeout(time, rings(timer)).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_is_not_waited_for() {
        let activity = activity(Protocol::Http1);
        let mut timer = ConnectionTimer::new(activity.clone());
        is_quiet(&mut timer, SECOND).await;
        activity.received();
        assert_eq!(rings(&mut timer).await, SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_may_take_its_time_and_then_the_connection_idles() {
        let activity = activity(Protocol::Http1);
        let mut timer = ConnectionTimer::new(activity.clone());
        let call = activity.call();
        is_quiet(&mut timer, 100 * SECOND).await;
        drop(call);
        is_quiet(&mut timer, 9 * SECOND).await;
        activity.received();
        assert_eq!(
            rings(&mut timer).await,
            2 * SECOND,
            "the next head has its own time"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn frames_of_http2_are_no_heads() {
        let activity = activity(Protocol::Http2);
        let mut timer = ConnectionTimer::new(activity.clone());
        is_quiet(&mut timer, 9 * SECOND).await;
        activity.received();
        assert_eq!(rings(&mut timer).await, SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_slowly_is_served_and_one_that_does_not_read_is_not() {
        let activity = activity(Protocol::Http1);
        let mut timer = ConnectionTimer::new(activity.clone());
        drop(activity.call());
        for _ in 0..5 {
            activity.write_blocked();
            is_quiet(&mut timer, 9 * SECOND).await;
            activity.write_moved();
        }
        activity.write_blocked();
        let call = activity.call();
        assert_eq!(rings(&mut timer).await, 10 * SECOND);
        drop(call);
    }
}
