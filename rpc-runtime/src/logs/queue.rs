//! Queue between the threads that log and the exporter thread. It is bounded, numbers each event
//! and never blocks the writer.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::{Level, Record, Timestamp};
use crate::context::{RequestId, Source};
use crate::sync::{Mutex, MutexExt as _, MutexGuard};

/// Events per chunk. Memory is allocated once per chunk and never moved; an empty queue has none.
const CHUNK: usize = 256;

/// Approximate memory of an event without its text, in bytes.
const OVERHEAD: usize = 256;

/// Events from the moment they are logged until they are in the sink or the spool, or are dropped.
pub(super) struct Queue {
    state: Mutex<QueueState>,
    /// Limit of the memory, in bytes.
    limit: usize,
    epoch: u64,
}

/// An event without a number.
#[derive(Debug)]
pub(super) struct LogEvent {
    /// `None` for events outside of any server; the source is then that of the process.
    pub(super) source: Option<Arc<Source>>,
    pub(super) request_id: Option<RequestId>,
    pub(super) time: Timestamp,
    pub(super) level: Level,
    pub(super) target: &'static str,
    pub(super) text: String,
}

/// An event with its sequence number.
#[derive(Debug)]
struct NumberedEvent {
    source: Arc<Source>,
    sequence: u64,
    event: LogEvent,
}

#[derive(Default)]
struct QueueState {
    /// Source of events outside of any server. Until it is known, such events wait in `early`
    /// without a number.
    process: Option<Arc<Source>>,
    early: Vec<LogEvent>,
    chunks: VecDeque<Vec<NumberedEvent>>,
    /// Last sequence number of each source.
    sequences: HashMap<Arc<Source>, u64>,
    /// Size of the numbered events that have not been drained.
    waiting: QueueSize,
    /// Size of all events in memory: early, waiting, and drained but not yet released.
    in_memory: QueueSize,
    is_closed: bool,
    is_disabled: bool,
}

/// Number and memory of some events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct QueueSize {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl QueueSize {
    pub(super) fn of(text: &str) -> Self {
        Self {
            records: 1,
            bytes: text.len() + OVERHEAD,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
    }

    fn subtract(&mut self, other: Self) {
        self.records = self.records.saturating_sub(other.records);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }

    /// Returns whether adding `last` reached `mark`, in records or in bytes.
    fn has_crossed(self, mark: Self, last: Self) -> bool {
        let crossed = |now, last, mark| now >= mark && now - last < mark;
        crossed(self.records, last.records, mark.records)
            || crossed(self.bytes, last.bytes, mark.bytes)
    }
}

/// Result of [`Queue::push`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PushResult {
    Queued {
        /// Whether to wake the worker. This is rarely set, because waking a thread is the most
        /// expensive step of a push.
        wake: bool,
    },
    /// The queue is full and the event was dropped. Its number is used up, so the gap marks it.
    Full,
    /// The exporter has ended and the event was dropped.
    Closed,
}

impl Queue {
    pub(super) fn new(limit: usize, epoch: u64) -> Self {
        Self {
            state: Mutex::new(QueueState::default()),
            limit,
            epoch,
        }
    }

    /// Adds an event. Requests a wake-up at the first waiting event, at a full batch and at half of
    /// the memory limit.
    pub(super) fn push(&self, event: LogEvent, batch: QueueSize) -> PushResult {
        let half = QueueSize {
            records: usize::MAX,
            bytes: self.limit / 2,
        };
        let load = QueueSize::of(&event.text);
        let mut state = self.lock();
        let before = state.waiting.records;
        match state.push(event, load, self.limit) {
            // An event that was put into `early` or discarded does not wake the worker.
            PushResult::Queued { .. } if state.waiting.records > before => {
                let waiting = state.waiting;
                PushResult::Queued {
                    wake: before == 0
                        || waiting.has_crossed(batch, load)
                        || waiting.has_crossed(half, load),
                }
            }
            other => other,
        }
    }

    /// Adds an event of the process even if the queue is full: the report of dropped records.
    pub(super) fn push_unbounded(&self, level: Level, target: &'static str, text: String) {
        let load = QueueSize::of(&text);
        let event = LogEvent {
            source: None,
            request_id: None,
            time: Timestamp::now(),
            level,
            target,
            text,
        };
        self.lock().push(event, load, usize::MAX);
    }

    /// Sets the source of events outside of any server, also of those logged earlier.
    pub(super) fn set_process_source(&self, source: Source) {
        let mut state = self.lock();
        state.process = Some(Arc::new(source));
        for event in std::mem::take(&mut state.early) {
            let load = QueueSize::of(&event.text);
            state.in_memory.subtract(load);
            // Its memory is already accounted for, so the limit does not apply.
            state.push(event, load, usize::MAX);
        }
    }

    /// Removes all events. Their memory stays accounted for until [`release`](Self::release).
    pub(super) fn drain(&self) -> Drained {
        let mut state = self.lock();
        state.waiting = QueueSize::default();
        Drained {
            chunks: std::mem::take(&mut state.chunks),
            epoch: self.epoch,
        }
    }

    /// Returns the memory of drained events.
    pub(super) fn release(&self, load: QueueSize) {
        self.lock().in_memory.subtract(load);
    }

    /// Accounts again for the memory of events that were released, without checking the limit.
    pub(super) fn reserve(&self, load: QueueSize) {
        self.lock().in_memory.add(load);
    }

    /// Size of the events that have not been drained.
    pub(super) fn waiting(&self) -> QueueSize {
        self.lock().waiting
    }

    /// Size of all events in memory, including drained ones that are not released.
    pub(super) fn in_memory(&self) -> QueueSize {
        self.lock().in_memory
    }

    /// Returns whether at least half of the memory limit is in use.
    pub(super) fn above_high_watermark(&self) -> bool {
        self.in_memory().bytes >= self.limit / 2
    }

    /// Returns whether further events are accepted.
    pub(super) fn is_open(&self) -> bool {
        let state = self.lock();
        !state.is_closed && !state.is_disabled
    }

    /// Drops all further events.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
    }

    /// Discards all events, including further ones, without counting them: the export was never
    /// started.
    pub(super) fn disable(&self) {
        let mut state = self.lock();
        *state = QueueState::default();
        state.is_disabled = true;
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // No foreign code runs under the lock, so the state is consistent even after a panic.
        self.state.lock_unpoisoned()
    }
}

impl QueueState {
    fn push(&mut self, event: LogEvent, load: QueueSize, limit: usize) -> PushResult {
        if self.is_disabled {
            return PushResult::Queued { wake: false };
        }
        if self.is_closed {
            return PushResult::Closed;
        }
        let is_full = self.in_memory.bytes.saturating_add(load.bytes) > limit;
        let Some(source) = event.source.clone().or_else(|| self.process.clone()) else {
            if is_full {
                return PushResult::Full;
            }
            self.in_memory.add(load);
            self.early.push(event);
            return PushResult::Queued { wake: false };
        };
        let sequence = match self.sequences.get_mut(&*source) {
            Some(last) => {
                *last += 1;
                *last
            }
            None => {
                self.sequences.insert(Arc::clone(&source), 1);
                1
            }
        };
        if is_full {
            return PushResult::Full;
        }
        self.in_memory.add(load);
        self.waiting.add(load);
        if self.chunks.back().is_none_or(|last| last.len() == CHUNK) {
            self.chunks.push_back(Vec::with_capacity(CHUNK));
        }
        if let Some(last) = self.chunks.back_mut() {
            last.push(NumberedEvent {
                source,
                sequence,
                event,
            });
        }
        PushResult::Queued { wake: false }
    }
}

/// Events removed from the queue, in the order in which they were logged.
#[derive(Debug)]
pub(super) struct Drained {
    chunks: VecDeque<Vec<NumberedEvent>>,
    epoch: u64,
}

impl Drained {
    /// Returns the next chunk as records. Conversion is done chunk by chunk because a record needs
    /// more memory than an event.
    pub(super) fn next_records(&mut self) -> Option<impl Iterator<Item = Record> + use<>> {
        let epoch = self.epoch;
        let chunk = self.chunks.pop_front()?;
        Some(chunk.into_iter().map(move |entry| entry.into_record(epoch)))
    }
}

impl NumberedEvent {
    fn into_record(self, epoch: u64) -> Record {
        let event = self.event;
        let source = Source::clone(&self.source);
        let mut record = Record::new(source, event.time, event.level, event.text);
        record.epoch = Some(epoch);
        record.sequence = Some(self.sequence);
        record.request_id = event.request_id;
        record.target = event.target.to_owned();
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: QueueSize = QueueSize {
        records: 3,
        bytes: usize::MAX,
    };

    fn event(source: Option<&str>, text: &str) -> LogEvent {
        LogEvent {
            source: source.map(|source| Arc::new(source.parse().unwrap())),
            request_id: None,
            time: Timestamp::now(),
            level: Level::Info,
            target: "test",
            text: text.to_owned(),
        }
    }

    fn records(queue: &Queue) -> Vec<(String, u64, String)> {
        let mut taken = queue.drain();
        let mut all = Vec::new();
        while let Some(records) = taken.next_records() {
            all.extend(records.map(|record| {
                assert_eq!(record.epoch, Some(7));
                let source = record.source.to_string();
                (source, record.sequence.unwrap(), record.text)
            }));
        }
        all
    }

    #[test]
    fn each_source_has_its_own_sequence() {
        let queue = Queue::new(1 << 20, 7);
        queue.set_process_source("p@dev/1".parse().unwrap());
        for (source, text) in [
            (Some("a@dev/1"), "x"),
            (None, "y"),
            // Equal sources behind different pointers share one sequence.
            (Some("a@dev/1"), "z"),
        ] {
            queue.push(event(source, text), BATCH);
        }
        let all = records(&queue);
        let all: Vec<_> = all.iter().map(|(s, n, t)| (&**s, *n, &**t)).collect();
        assert_eq!(
            all,
            [
                ("a@dev/1", 1, "x"),
                ("p@dev/1", 1, "y"),
                ("a@dev/1", 2, "z")
            ]
        );
    }

    #[test]
    fn early_events_get_the_source_of_the_process() {
        let queue = Queue::new(1 << 20, 7);
        queue.push(event(None, "early"), BATCH);
        assert_eq!(queue.waiting().records, 0);
        queue.set_process_source("p@dev/1".parse().unwrap());
        queue.push(event(None, "late"), BATCH);
        let texts: Vec<_> = records(&queue).into_iter().map(|r| (r.1, r.2)).collect();
        assert_eq!(texts, [(1, "early".to_owned()), (2, "late".to_owned())]);
        assert_eq!(queue.in_memory().records, 2);
    }

    #[test]
    fn a_dropped_event_uses_up_its_number() {
        let load = QueueSize::of("x");
        let queue = Queue::new(2 * load.bytes, 7);
        let push = || queue.push(event(Some("a@dev/1"), "x"), BATCH);
        assert_eq!(push(), PushResult::Queued { wake: true });
        push();
        assert_eq!([push(), push()], [PushResult::Full; 2]);
        // Drained events still count towards the limit until they are released.
        assert_eq!(records(&queue).len(), 2);
        assert_eq!(push(), PushResult::Full);
        queue.release(load);
        assert_eq!(push(), PushResult::Queued { wake: true });
        assert_eq!(records(&queue)[0].1, 6);
        queue.close();
        queue.release(load);
        assert_eq!(push(), PushResult::Closed);
    }

    #[test]
    fn it_wakes_at_the_first_event_batch_and_half_limit() {
        let queue = Queue::new(10 * QueueSize::of("x").bytes, 7);
        let push = || queue.push(event(Some("a@dev/1"), "x"), BATCH);
        let woken: Vec<_> = (1..=8)
            .filter(|_| push() == PushResult::Queued { wake: true })
            .collect();
        assert_eq!(woken, [1, 3, 5]);
    }

    #[test]
    fn order_holds_over_chunks_and_threads() {
        let queue = Queue::new(64 << 20, 7);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let queue = &queue;
                scope.spawn(move || {
                    for n in 0..1000 {
                        queue.push(event(Some("a@dev/1"), &format!("{thread} {n}")), BATCH);
                    }
                });
            }
        });
        let all = records(&queue);
        assert!(all.iter().map(|r| r.1).eq(1..=4000));
        for thread in 0..4 {
            let prefix = format!("{thread} ");
            let own = all.iter().filter_map(|r| r.2.strip_prefix(&prefix));
            assert!(own.eq((0..1000).map(|n| n.to_string())));
        }
    }
}
