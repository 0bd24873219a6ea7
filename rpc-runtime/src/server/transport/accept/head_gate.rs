//! The gate for request heads of an HTTP/2 connection, so that callers that leave together do not
//! end the connection of all others.
//!
//! `h2` reads everything that has arrived before it gives out the first request. A request that its
//! caller has canceled in the meantime counts against a limit, above which the connection ends,
//! because it may be an attack (CVE-2023-44487: rapid reset). 25 callers that leave at the same
//! moment look the same.
//!
//! The gate hands over no more heads than that limit, and lets the connection accept them before it
//! reads on. So the limit is never reached while the gate is in effect, and no more requests than
//! that are in memory before they are accepted.
//!
//! It is not in effect for strangers, who keep the limit: at an edge listener, and after a request
//! whose caller is not trusted. Nor after [`MAX_CANCELED`] calls in a row that were canceled before
//! their response.

use std::io::Result;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, BytesMut};
use tokio::io::ReadBuf;

/// The client connection preface of HTTP/2. Source: RFC 9113, section 3.4.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The maximum number of heads that are handed over before they are accepted. Also the number of
/// requests that may be canceled before they are accepted.
pub(super) const MAX_HEADS: usize = 20;

/// The number of calls in a row that a trusted peer may cancel before their response.
const MAX_CANCELED: u32 = 8192;

/// The length of a frame header, and the type of a frame with a head. Source: RFC 9113, sections
/// 4.1 and 6.2.
const FRAME_HEADER: usize = 9;
const HEADERS: u8 = 1;

/// The state of a gate that the I/O, the calls and the task of a connection share.
#[derive(Debug, Default)]
pub(super) struct HeadGate {
    /// The number of heads handed over since the connection was polled.
    heads: AtomicUsize,
    /// Whether a caller was not trusted.
    is_stranger: AtomicBool,
    /// The number of calls in a row that were canceled before their response.
    canceled: AtomicU32,
}

impl HeadGate {
    /// Opens the gate: the task of the connection is polled again, so all heads that were handed
    /// over have been accepted.
    pub(super) fn open(&self) {
        self.heads.store(0, Ordering::Relaxed);
    }

    /// Records that a caller is not trusted.
    pub(super) fn stranger(&self) {
        self.is_stranger.store(true, Ordering::Relaxed);
    }

    /// Records the end of a call.
    pub(super) fn call_ended(&self, has_response: bool) {
        if !has_response {
            self.canceled.fetch_add(1, Ordering::Relaxed);
        } else if self.canceled.load(Ordering::Relaxed) != 0 {
            self.canceled.store(0, Ordering::Relaxed);
        }
    }

    fn is_in_effect(&self) -> bool {
        !self.is_stranger.load(Ordering::Relaxed)
            && self.canceled.load(Ordering::Relaxed) < MAX_CANCELED
    }

    /// Returns the number of heads that may be handed over.
    fn remaining(&self) -> usize {
        if self.is_in_effect() {
            MAX_HEADS.saturating_sub(self.heads.load(Ordering::Relaxed))
        } else {
            usize::MAX
        }
    }
}

/// The bytes of a connection on their way through its gate.
#[derive(Debug)]
pub(super) struct GatedBytes {
    frames: FrameCursor,
    /// Bytes that were read and are not handed over yet.
    held: BytesMut,
}

impl GatedBytes {
    pub(super) fn new() -> Self {
        Self {
            frames: FrameCursor {
                header: [0; FRAME_HEADER],
                filled: 0,
                rest: PREFACE.len(),
            },
            held: BytesMut::new(),
        }
    }

    /// Reads by `read` and hands over what the gate allows.
    pub(super) fn poll_read(
        &mut self,
        gate: &HeadGate,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        read: impl FnOnce(&mut Context<'_>, &mut ReadBuf<'_>) -> Poll<Result<()>>,
    ) -> Poll<Result<()>> {
        let allowed = gate.remaining();
        if allowed == 0 {
            // The task accepts the heads, and then polls again.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let start = buffer.filled().len();
        let polled = if self.held.is_empty() {
            read(cx, buffer)
        } else {
            let length = self.held.len().min(buffer.remaining());
            buffer.put_slice(&self.held[..length]);
            self.held.advance(length);
            Poll::Ready(Ok(()))
        };
        let bytes = &buffer.filled()[start..];
        let (length, heads) = self.frames.advance(bytes, allowed);
        gate.heads.fetch_add(heads, Ordering::Relaxed);
        if length < bytes.len() {
            let mut held = BytesMut::with_capacity(bytes.len() - length + self.held.len());
            held.put_slice(&bytes[length..]);
            held.put_slice(&self.held);
            self.held = held;
            buffer.set_filled(start + length);
        } else if self.held.is_empty() {
            // Frees the memory of an idle connection.
            self.held = BytesMut::new();
        }
        polled
    }
}

/// A position in the frames of a connection.
#[derive(Debug)]
struct FrameCursor {
    /// The header of the next frame, and how much of it has been seen.
    header: [u8; FRAME_HEADER],
    filled: usize,
    /// The number of bytes before the next frame.
    rest: usize,
}

impl FrameCursor {
    /// Advances over bytes, up to the first frame with a head after `max` of them. Returns the
    /// number of bytes and of heads.
    fn advance(&mut self, bytes: &[u8], max: usize) -> (usize, usize) {
        let (mut at, mut heads) = (0, 0);
        while at < bytes.len() {
            if self.rest > 0 {
                let skipped = self.rest.min(bytes.len() - at);
                self.rest -= skipped;
                at += skipped;
                continue;
            }
            let (start, filled) = (at, self.filled);
            let length = (FRAME_HEADER - filled).min(bytes.len() - at);
            self.header[filled..filled + length].copy_from_slice(&bytes[at..at + length]);
            self.filled += length;
            at += length;
            if self.filled < FRAME_HEADER {
                break;
            }
            if self.header[3] == HEADERS {
                if heads == max {
                    // Its first bytes may have been handed over before.
                    self.filled = filled;
                    return (start, heads);
                }
                heads += 1;
            }
            let [high, middle, low, ..] = self.header;
            self.rest = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            self.filled = 0;
        }
        (at, heads)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Wake, Waker};

    use super::*;

    const DATA: u8 = 0;
    const RST_STREAM: u8 = 3;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, 0, 0, 0, 0, 1]);
        frame.resize(FRAME_HEADER + payload, HEADERS);
        frame
    }

    /// Returns the preface and a number of requests, each with a body and a reset.
    fn requests(number: usize) -> Vec<u8> {
        let one = [frame(HEADERS, 40), frame(DATA, 300), frame(RST_STREAM, 4)].concat();
        [&PREFACE[..], &one.repeat(number)].concat()
    }

    /// Reads everything in rounds, from a source that has `available` bytes at a time, into a
    /// buffer of `capacity` bytes. Returns the bytes of each round.
    fn rounds(gate: &HeadGate, mut sent: &[u8], available: usize, capacity: usize) -> Vec<Vec<u8>> {
        let mut bytes = GatedBytes::new();
        let mut cx = Context::from_waker(Waker::noop());
        let mut rounds = Vec::new();
        loop {
            gate.open();
            let mut round = Vec::new();
            loop {
                let mut space = vec![0; capacity];
                let mut buffer = ReadBuf::new(&mut space);
                let polled = bytes.poll_read(gate, &mut cx, &mut buffer, |_, buffer| {
                    let length = available.min(buffer.remaining()).min(sent.len());
                    buffer.put_slice(&sent[..length]);
                    sent.advance(length);
                    Poll::Ready(Ok(()))
                });
                if polled.is_pending() {
                    break;
                }
                if buffer.filled().is_empty() {
                    assert!(sent.is_empty() && bytes.held.capacity() == 0);
                    rounds.push(round);
                    return rounds;
                }
                round.extend_from_slice(buffer.filled());
            }
            rounds.push(round);
        }
    }

    /// Returns the number of heads of each round.
    fn heads(rounds: &[Vec<u8>]) -> Vec<usize> {
        let mut frames = GatedBytes::new().frames;
        let rounds = rounds.iter();
        rounds
            .map(|round| frames.advance(round, usize::MAX).1)
            .collect()
    }

    #[test]
    fn a_round_has_a_limited_number_of_heads() {
        let sent = requests(50);
        for (available, capacity) in [(1 << 20, 1 << 20), (1, 100), (13, 7), (9000, 8192)] {
            let rounds = rounds(&HeadGate::default(), &sent, available, capacity);
            assert_eq!(rounds.concat(), sent, "{available}, {capacity}");
            assert_eq!(heads(&rounds), [20, 20, 10], "{available}, {capacity}");
        }
    }

    #[test]
    fn strangers_pass_at_once() {
        let stranger = HeadGate::default();
        stranger.stranger();
        let canceled = HeadGate::default();
        for _ in 0..MAX_CANCELED {
            canceled.call_ended(false);
        }
        let sent = requests(90);
        for gate in [&stranger, &canceled] {
            assert_eq!(heads(&rounds(gate, &sent, 1 << 20, 1 << 20)), [90]);
        }
        // One response is enough.
        canceled.call_ended(true);
        let rounds = rounds(&canceled, &sent, 1 << 20, 1 << 20);
        assert_eq!(heads(&rounds), [20, 20, 20, 20, 10]);
    }

    #[test]
    fn a_closed_gate_wakes_its_task() {
        struct Woken(AtomicBool);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Arc::clone(&woken).into();
        let gate = HeadGate::default();
        gate.heads.store(MAX_HEADS, Ordering::Relaxed);
        let mut buffer = ReadBuf::new(&mut []);
        let mut cx = Context::from_waker(&waker);
        let polled = GatedBytes::new().poll_read(&gate, &mut cx, &mut buffer, |_, _| {
            unreachable!("the gate is closed")
        });
        assert!(polled.is_pending() && woken.0.load(Ordering::Relaxed));
    }
}
