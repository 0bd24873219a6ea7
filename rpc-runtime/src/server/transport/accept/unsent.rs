//! The responses of an HTTP/2 connection that wait for their peer.

use std::time::Duration;

use tokio::time::Instant;

use crate::duration::FAR_FUTURE;

/// The size of the parts in which a response is sent over HTTP/2, in bytes: the size of the largest
/// frame that every peer accepts (RFC 9113, section 6.5.2).
///
/// A peer must take one part within `idle_timeout`, with the default 273 bytes a second. That is
/// the usual minimum (240 in IIS and Kestrel, 500 in Apache): a peer that takes less keeps memory
/// occupied at no cost, and no network is that slow.
pub(super) const PART: usize = 16 << 10;

/// The responses whose next part waits until the peer takes it. The places in the list are used
/// again.
#[derive(Debug, Default)]
pub(super) struct UnsentResponses {
    list: Vec<Option<UnsentResponse>>,
    free: Vec<usize>,
    /// No response waits for longer than since this time. Not updated when responses end.
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct UnsentResponse {
    /// The time at which the last part was taken.
    since: Instant,
    /// Whether the last part is with the HTTP library, which does not report how much of it is
    /// written.
    last_part: bool,
    /// Whether its call has ended.
    call_ended: bool,
}

impl UnsentResponses {
    pub(super) fn len(&self) -> usize {
        self.list.len() - self.free.len()
    }

    /// Adds a response, and returns its place.
    pub(super) fn add(&mut self) -> usize {
        let since = Instant::now();
        self.not_before.get_or_insert(since);
        let response = Some(UnsentResponse {
            since,
            last_part: false,
            call_ended: false,
        });
        match self.free.pop() {
            Some(place) => {
                self.list[place] = response;
                place
            }
            None => {
                self.list.push(response);
                self.list.len() - 1
            }
        }
    }

    pub(super) fn remove(&mut self, place: usize) {
        self.list[place] = None;
        self.free.push(place);
        if self.len() == 0 {
            self.list.clear();
            self.free.clear();
            self.not_before = None;
        }
    }

    /// Records that a part was taken. `is_last` says whether the next one is the last.
    pub(super) fn part_taken(&mut self, place: usize, is_last: bool) {
        if let Some(response) = &mut self.list[place] {
            response.since = Instant::now();
            response.last_part = is_last;
        }
    }

    /// Records that the call has ended. Returns whether the response has ended too.
    pub(super) fn call_ended(&mut self, place: usize) -> bool {
        let Some(response) = &mut self.list[place] else {
            return true;
        };
        response.call_ended = true;
        if !response.last_part {
            self.remove(place);
            return true;
        }
        false
    }

    /// Records that the last part is written. Returns whether the call has ended too.
    pub(super) fn last_part_written(&mut self, place: usize) -> bool {
        let Some(response) = &mut self.list[place] else {
            return false;
        };
        response.last_part = false;
        let has_ended = response.call_ended;
        if has_ended {
            self.remove(place);
        }
        has_ended
    }

    /// Returns the time at which the first response will have waited for `timeout`.
    pub(super) fn deadline(&mut self, timeout: Duration) -> Option<Instant> {
        let not_before = after(self.not_before?, timeout);
        if not_before > Instant::now() {
            // The list is read only when the time is near.
            return Some(not_before);
        }
        let waiting = self.list.iter().flatten();
        self.not_before = waiting.map(|response| response.since).min();
        Some(after(self.not_before?, timeout))
    }
}

/// Returns the time after `timeout`, or a year later if the clock cannot count that far.
pub(super) fn after(since: Instant, timeout: Duration) -> Instant {
    since.checked_add(timeout).unwrap_or(since + FAR_FUTURE)
}
