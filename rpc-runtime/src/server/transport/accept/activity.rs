//! The state of a connection, and the timeout of each state.
//!
//! | state of the connection | closed after |
//! | --- | --- |
//! | its protocol is not known yet | `first_byte_timeout`, see `connection` |
//! | it has received a part of a request head (HTTP/1) | `header_timeout`, however slowly bytes arrive |
//! | it is idle between two requests | `idle_timeout` |
//! | its peer does not read | `idle_timeout` without [`PART`] bytes of progress |
//! | its peer does not take a response (HTTP/2 flow control) | `idle_timeout` without a [`PART`] of it, when the other calls have ended |
//! | a call is running | never: the call has a deadline, and its body has `body_timeout` |
//!
//! While the server stops, no state but the last one lasts longer than [`INCOMPLETE_TIMEOUT`], and
//! calls that begin after that time are refused: the peer ignores that the connection ends.
//!
//! hyper's header timeout does not distinguish the second state from the third, and creates a timer
//! for each request. [`ConnectionTimer`] is one timer for the whole connection and is rarely reset.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use super::bare_response::{BareResponses, START};
use super::head_gate::HeadGate;
use super::raw_head::{RawHead, head_buffer};
use super::unsent::{PART, UnsentResponses, after};
use crate::server::cors::CorsHeaders;
use crate::server::limits::Limits;
use crate::server::memory::PeerMemory;
use crate::sync::MutexExt as _;

/// Time that a stopping server gives its peers for completing a request or for reading a response.
/// Without it, a peer that does neither would delay the stop until the drain timeout.
pub(in crate::server) const INCOMPLETE_TIMEOUT: Duration = Duration::from_secs(3);

/// Time for sending the end of a response on a connection of a stopping server. HTTP/2 buffers up
/// to 64 KiB until the peer allows more.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(1500);

/// The HTTP version of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// The state of a connection, shared by its I/O, its calls and its timer.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<ActivityState>,
    header_timeout: Duration,
    idle_timeout: Duration,
    drain_timeout: Duration,
    /// Whether bytes that arrive while no call is running begin a request head. True for HTTP/1; in
    /// HTTP/2 they may belong to any frame.
    has_heads: bool,
    /// The number of bytes of a head that are kept.
    head_buffer: usize,
    bare_responses: BareResponses,
    memory: Arc<PeerMemory>,
    /// The gate for request heads of an HTTP/2 connection whose peer may be trusted.
    head_gate: Option<HeadGate>,
}

#[derive(Debug)]
struct ActivityState {
    /// Number of running calls, from the complete head to the end of the response.
    calls: usize,
    /// Those whose response waits until the peer takes a part of it.
    unsent: UnsentResponses,
    /// Whether a part of a request head has arrived.
    head: bool,
    /// The bytes of the last head.
    raw: RawHead,
    /// The time at which the head began, the last call ended, a part of a response was taken or a
    /// blocked write continued.
    since: Instant,
    /// Writes that are blocked because the peer does not read.
    blocked: Option<BlockedWrites>,
    /// Whether a response may have been sent before its request was read completely.
    unread: bool,
    /// The time at which the server asked the connection to finish.
    stopping: Option<Instant>,
}

#[derive(Debug)]
struct BlockedWrites {
    since: Instant,
    /// Number of bytes that were written since.
    written: usize,
}

impl Activity {
    pub(super) fn new(limits: &Limits, protocol: Protocol, memory: Arc<PeerMemory>) -> Self {
        let has_heads = protocol == Protocol::Http1;
        Self {
            state: Mutex::new(ActivityState {
                calls: 0,
                unsent: UnsentResponses::default(),
                // The sniffed bytes belong to the first head.
                head: has_heads,
                raw: RawHead::default(),
                since: Instant::now(),
                blocked: None,
                unread: false,
                stopping: None,
            }),
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            drain_timeout: limits.drain_timeout,
            has_heads,
            head_buffer: head_buffer(limits),
            bare_responses: BareResponses::new(limits),
            memory,
            head_gate: None,
        }
    }

    /// Adds the headers by which web pages may read responses to heads that are not valid.
    pub(super) fn with_cors(mut self, cors: Option<Arc<CorsHeaders>>) -> Self {
        self.bare_responses.cors = cors;
        self
    }

    /// Adds a gate for request heads.
    pub(super) fn with_head_gate(mut self) -> Self {
        self.head_gate = Some(HeadGate::default());
        self
    }

    pub(super) fn head_gate(&self) -> Option<&HeadGate> {
        self.head_gate.as_ref()
    }

    /// Records that the task of the connection is polled.
    pub(super) fn polled(&self) {
        if let Some(gate) = &self.head_gate {
            gate.open();
        }
    }

    /// Returns the memory for the messages of the peer.
    pub(super) fn memory(&self) -> &Arc<PeerMemory> {
        &self.memory
    }

    /// Returns the time for which calls are waited for.
    pub(super) fn drain_timeout(&self) -> Duration {
        self.drain_timeout
    }

    pub(super) fn protocol(&self) -> Protocol {
        if self.has_heads {
            Protocol::Http1
        } else {
            Protocol::Http2
        }
    }

    /// Records that bytes have arrived.
    pub(super) fn received(&self, bytes: &[u8]) {
        if !self.has_heads {
            return;
        }
        let mut state = self.state();
        if state.calls > 0 {
            state.raw.push_running(bytes, self.head_buffer);
            return;
        }
        if !state.head {
            state.head = true;
            state.since = Instant::now();
            state.raw.clear();
        }
        state.raw.push(bytes, self.head_buffer);
    }

    /// Returns the bytes to send in place of a response that hyper sends by itself, because the
    /// head of a request is not valid.
    pub(super) fn complete_bare_response(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        if !self.has_heads || !bytes.starts_with(START) {
            return None;
        }
        let state = self.state();
        let is_of_hyper = state.calls == 0 && state.head;
        is_of_hyper.then(|| self.bare_responses.complete(bytes, &state.raw))?
    }

    /// Records that a write is blocked.
    pub(super) fn write_blocked(&self) {
        self.state().blocked.get_or_insert_with(|| BlockedWrites {
            since: Instant::now(),
            written: 0,
        });
    }

    /// Records that a part of some bytes was written.
    pub(super) fn wrote(&self, written: usize, of: usize) {
        let mut state = self.state();
        let Some(blocked) = &mut state.blocked else {
            return;
        };
        blocked.written += written;
        if written == of || blocked.written >= PART {
            state.blocked = None;
            // The idle time starts only when the peer has read its last response.
            state.since = Instant::now();
        }
    }

    /// Records that a request head is complete, whose body has this length if it is known. The call
    /// counts as running until the guard is dropped, unless it is late.
    pub(super) fn call(self: &Arc<Self>, body: Option<u64>) -> CallGuard {
        let mut state = self.state();
        let is_next = state.raw.begin_next();
        let is_first = std::mem::replace(&mut state.head, false) || is_next;
        if is_first {
            state.raw.complete(body);
        }
        let is_late = state
            .stopping
            .is_some_and(|stopping| stopping.elapsed() >= INCOMPLETE_TIMEOUT);
        if !is_late {
            state.calls += 1;
        }
        CallGuard {
            activity: self.clone(),
            is_first,
            is_late,
            unsent: None,
            has_response: false,
        }
    }

    /// Records that a response may have been sent before its request was read completely.
    pub(super) fn left_unread(&self) {
        self.state().unread = true;
    }

    pub(super) fn has_unread(&self) -> bool {
        self.state().unread
    }

    /// Records that the server has asked the connection to finish.
    pub(super) fn stopping(&self) {
        self.state().stopping.get_or_insert_with(Instant::now);
    }

    /// Returns the number of calls that do not wait for the peer. They can end although the peer
    /// does not take other responses.
    pub(super) fn other_calls(&self) -> usize {
        let state = self.state();
        match state.blocked {
            Some(_) => 0,
            None => state.calls - state.unsent.len(),
        }
    }

    /// Returns whether the peer has not taken a response in time.
    pub(super) fn has_unread_response(&self) -> bool {
        let state = self.state();
        state.blocked.is_some() || state.unsent.len() > 0
    }

    /// Returns the time at which the connection is closed if its state does not change; `None`
    /// while a call is running that does not wait for the peer.
    fn deadline(&self) -> Option<Instant> {
        let mut state = self.state();
        let deadline = match (&state.blocked, state.calls) {
            (Some(blocked), _) => after(blocked.since, self.idle_timeout),
            (None, 0) if state.head => after(state.since, self.header_timeout),
            (None, 0) => after(state.since, self.idle_timeout),
            (None, _) => state.unsent.deadline(self.idle_timeout)?,
        };
        let is_running = state.blocked.is_none() && state.calls > state.unsent.len();
        let Some(stopping) = state.stopping.filter(|_| !is_running) else {
            return Some(deadline);
        };
        let last = match &state.blocked {
            Some(blocked) => blocked.since + INCOMPLETE_TIMEOUT,
            None if state.calls > 0 => state.since + INCOMPLETE_TIMEOUT,
            None => state.since + FLUSH_TIMEOUT,
        };
        Some(deadline.min(last.max(stopping + INCOMPLETE_TIMEOUT)))
    }

    fn state(&self) -> MutexGuard<'_, ActivityState> {
        self.state.lock_unpoisoned()
    }
}

/// Guard of a running call. Dropping it records the end of the call.
#[derive(Debug)]
pub(super) struct CallGuard {
    activity: Arc<Activity>,
    /// Whether its head began with bytes that arrived while no call was running.
    is_first: bool,
    is_late: bool,
    /// The place of its response in the list of those that wait for the peer.
    unsent: Option<usize>,
    has_response: bool,
}

impl CallGuard {
    /// Returns the activity of the connection that the call runs on.
    pub(super) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Returns whether the head has both a content length and a transfer encoding. hyper ignores
    /// the former.
    pub(super) fn has_two_lengths(&self) -> bool {
        self.activity.state().raw.has_two_lengths(self.is_first)
    }

    /// Returns whether the call began so long after the stop of its connection that it must be
    /// refused.
    pub(super) fn is_late(&self) -> bool {
        self.is_late
    }

    /// Records whether the caller is trusted.
    pub(super) fn identified(&self, is_trusted: bool) {
        if let Some(gate) = &self.activity.head_gate
            && !is_trusted
        {
            gate.stranger();
        }
    }

    /// Records that there is a response.
    pub(super) fn responded(&mut self) {
        self.has_response = true;
    }

    /// Records that the response waits until the peer takes the next part of it. In HTTP/1, where a
    /// connection has one response at a time, a blocked write shows it.
    pub(super) fn sending(&mut self) {
        if self.activity.has_heads || self.is_late {
            return;
        }
        self.part_taken(false);
    }

    /// Returns the last part of the response: until it is dropped, the response waits for the peer.
    pub(super) fn sending_last(&mut self, data: Bytes) -> Bytes {
        if self.activity.has_heads || self.is_late {
            return data;
        }
        let place = self.part_taken(true);
        Bytes::from_owner(LastPart {
            data,
            activity: Arc::clone(&self.activity),
            place,
        })
    }

    fn part_taken(&mut self, is_last: bool) -> usize {
        let mut state = self.activity.state();
        state.since = Instant::now();
        let place = *self.unsent.get_or_insert_with(|| state.unsent.add());
        state.unsent.part_taken(place, is_last);
        place
    }

    /// Records that the peer waits for the next part of the response.
    pub(super) fn producing(&mut self) {
        if let Some(place) = self.unsent.take() {
            self.activity.state().unsent.remove(place);
        }
    }
}

/// The last part of a response over HTTP/2.
struct LastPart {
    data: Bytes,
    activity: Arc<Activity>,
    place: usize,
}

impl AsRef<[u8]> for LastPart {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for LastPart {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        if state.unsent.last_part_written(self.place) {
            state.call_ended();
        }
    }
}

impl ActivityState {
    fn call_ended(&mut self) {
        self.calls -= 1;
        if self.calls == 0 {
            // A part of the next head has arrived. Its time begins here, since it had to wait.
            self.head = self.raw.begin_next();
            if !self.head {
                self.raw.release_excess();
            }
        }
        self.since = Instant::now();
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        if let Some(gate) = &self.activity.head_gate {
            gate.call_ended(self.has_response);
        }
        if self.is_late {
            return;
        }
        let mut state = self.activity.state();
        let place = self.unsent.take();
        if place.is_none_or(|place| state.unsent.call_ended(place)) {
            state.call_ended();
        }
    }
}

/// Timer that elapses when a connection has reached the timeout of its state.
///
/// A deadline usually moves later before it is reached, so the timer is not reset for every
/// request: when it fires, it reads the current deadline and sleeps until then.
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

    /// Completes when the deadline is reached. Must be polled after the connection: every change of
    /// the deadline wakes the connection's task.
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
mod tests;
