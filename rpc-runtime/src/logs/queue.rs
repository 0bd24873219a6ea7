//! Between the threads that write and the one that ships: bounded memory, a number for each record, no waiting.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Level, Record};
use crate::context::{RequestId, Source};
use crate::sync::{Mutex, MutexExt as _, MutexGuard};

/// How many events one piece of memory holds. Memory is asked for once in so many events and never moved, and a queue
/// that is empty holds none.
const CHUNK: usize = 256;

/// What an event takes in memory beside its text, in bytes, roughly.
const OVERHEAD: usize = 256;

/// The events that lie in memory from being written until the sink has them, the spool has them, or they are dropped.
pub(super) struct Queue {
    state: Mutex<QueueState>,
    /// The most memory, in bytes.
    limit: usize,
    epoch: u64,
}

/// An event as the layer sees it.
#[derive(Debug)]
pub(super) struct LogEvent {
    /// `None` for what happens outside of any server: the process itself.
    pub(super) source: Option<Arc<Source>>,
    pub(super) request_id: Option<RequestId>,
    pub(super) time: Timestamp,
    pub(super) level: Level,
    pub(super) target: &'static str,
    pub(super) text: String,
}

/// An event that has its number.
#[derive(Debug)]
struct NumberedEvent {
    source: Arc<Source>,
    sequence: u64,
    event: LogEvent,
}

#[derive(Default)]
struct QueueState {
    /// Who writes outside of any server. Until that is known, such events wait in `early` and have no number.
    process: Option<Arc<Source>>,
    early: Vec<LogEvent>,
    chunks: VecDeque<Vec<NumberedEvent>>,
    /// The last number of each source.
    sequences: HashMap<Arc<Source>, u64>,
    /// Events and bytes that nobody has taken yet.
    waiting: QueueSize,
    /// Those, and the ones that are taken and not yet released.
    in_memory: QueueSize,
    is_closed: bool,
    is_disabled: bool,
}

/// Some events.
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

    /// Whether it has come to be at least `mark` by `last`.
    fn has_crossed(self, mark: Self, last: Self) -> bool {
        let crossed = |now, last, mark| now >= mark && now - last < mark;
        crossed(self.records, last.records, mark.records)
            || crossed(self.bytes, last.bytes, mark.bytes)
    }
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PushResult {
    Kept {
        /// Whether the one who ships should look: seldom, since waking a thread costs more than all else here.
        wake: bool,
    },
    /// There was no room. Its number is used up, so that a gap shows where it was.
    Full,
    /// Nobody ships any more.
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

    /// Adds an event; wakes when there is one, when there is a batch, and when half of the room is taken.
    pub(super) fn push(&self, event: LogEvent, batch: QueueSize) -> PushResult {
        let half = QueueSize {
            records: usize::MAX,
            bytes: self.limit / 2,
        };
        let load = QueueSize::of(&event.text);
        let mut state = self.lock();
        let before = state.waiting.records;
        match state.push(event, load, self.limit) {
            // Not where it waits for a name, or for nobody.
            PushResult::Kept { .. } if state.waiting.records > before => {
                let waiting = state.waiting;
                PushResult::Kept {
                    wake: before == 0
                        || waiting.has_crossed(batch, load)
                        || waiting.has_crossed(half, load),
                }
            }
            other => other,
        }
    }

    /// Adds an event of the process itself, for which there is always room: what is said of all the others.
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

    /// Says who writes outside of any server; what was written until now is of the same.
    pub(super) fn set_process_source(&self, source: Source) {
        let mut state = self.lock();
        state.process = Some(Arc::new(source));
        for event in std::mem::take(&mut state.early) {
            let load = QueueSize::of(&event.text);
            state.in_memory.subtract(load);
            // There is room, because it was taken into account.
            state.push(event, load, usize::MAX);
        }
    }

    /// Takes all events, which stay in the account until they are [`release`](Self::release)d.
    pub(super) fn drain(&self) -> Drained {
        let mut state = self.lock();
        state.waiting = QueueSize::default();
        Drained {
            chunks: std::mem::take(&mut state.chunks),
            epoch: self.epoch,
        }
    }

    /// Gives back the room of events that were taken.
    pub(super) fn release(&self, load: QueueSize) {
        self.lock().in_memory.subtract(load);
    }

    /// Takes room for events that have none any more, whether there is some or not.
    pub(super) fn reserve(&self, load: QueueSize) {
        self.lock().in_memory.add(load);
    }

    /// What nobody has taken yet.
    pub(super) fn waiting(&self) -> QueueSize {
        self.lock().waiting
    }

    /// All that lies in memory.
    pub(super) fn in_memory(&self) -> QueueSize {
        self.lock().in_memory
    }

    /// Whether more than half of the room is taken.
    pub(super) fn above_high_watermark(&self) -> bool {
        self.in_memory().bytes >= self.limit / 2
    }

    /// Takes no more events.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
    }

    /// Forgets all events, those that come included: nobody ever asked for them.
    pub(super) fn disable(&self) {
        let mut state = self.lock();
        *state = QueueState::default();
        state.is_disabled = true;
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // No code of others runs within; a state is whole at every step.
        self.state.lock_unpoisoned()
    }
}

impl QueueState {
    fn push(&mut self, event: LogEvent, load: QueueSize, limit: usize) -> PushResult {
        if self.is_disabled {
            return PushResult::Kept { wake: false };
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
            return PushResult::Kept { wake: false };
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
        PushResult::Kept { wake: false }
    }
}

/// Events that were taken, in the order in which they were written.
#[derive(Debug)]
pub(super) struct Drained {
    chunks: VecDeque<Vec<NumberedEvent>>,
    epoch: u64,
}

impl Drained {
    /// The next ones as records: a few hundred at a time, because a record needs more memory than an event.
    pub(super) fn next_records(&mut self) -> Option<impl Iterator<Item = Record> + use<>> {
        let epoch = self.epoch;
        let chunk = self.chunks.pop_front()?;
        Some(chunk.into_iter().map(move |entry| entry.into_record(epoch)))
    }
}

impl NumberedEvent {
    fn into_record(self, epoch: u64) -> Record {
        let event = self.event;
        Record {
            source: Source::clone(&self.source),
            epoch: Some(epoch),
            sequence: Some(self.sequence),
            request_id: event.request_id,
            time: event.time,
            level: event.level,
            target: event.target.to_owned(),
            text: event.text,
        }
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
    fn each_source_is_numbered_by_itself_in_the_order_of_writing() {
        let queue = Queue::new(1 << 20, 7);
        queue.set_process_source("p@dev/1".parse().unwrap());
        for (source, text) in [
            (Some("a@dev/1"), "x"),
            (None, "y"),
            // Another pointer to the same name is the same source.
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
    fn what_was_written_before_the_process_had_a_name_gets_it() {
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
    fn a_full_queue_drops_and_numbers_what_it_drops() {
        let load = QueueSize::of("x");
        let queue = Queue::new(2 * load.bytes, 7);
        let push = || queue.push(event(Some("a@dev/1"), "x"), BATCH);
        assert_eq!(push(), PushResult::Kept { wake: true });
        push();
        assert_eq!([push(), push()], [PushResult::Full; 2]);
        // Drained is not gone: the bound holds for all that lies in memory.
        assert_eq!(records(&queue).len(), 2);
        assert_eq!(push(), PushResult::Full);
        queue.release(load);
        assert_eq!(push(), PushResult::Kept { wake: true });
        assert_eq!(records(&queue)[0].1, 6);
        queue.close();
        queue.release(load);
        assert_eq!(push(), PushResult::Closed);
    }

    #[test]
    fn it_wakes_at_the_first_at_a_batch_and_at_half_of_its_room() {
        let queue = Queue::new(10 * QueueSize::of("x").bytes, 7);
        let push = || queue.push(event(Some("a@dev/1"), "x"), BATCH);
        let woken: Vec<_> = (1..=8)
            .filter(|_| push() == PushResult::Kept { wake: true })
            .collect();
        assert_eq!(woken, [1, 3, 5]);
    }

    #[test]
    fn order_and_numbers_hold_over_many_pieces_of_memory_and_threads() {
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
