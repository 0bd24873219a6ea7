//! Model of the queue between the threads that log and the exporter.
//!
//! `Exporter` takes the same steps as the runtime's `worker`, without timers: it drains the
//! queue, releases the memory, and waits while the queue is empty.

#[path = "../../rpc-runtime/src/logs/queue.rs"]
mod queue;
#[path = "../../rpc-runtime/src/logs/shared.rs"]
mod shared;
#[path = "../../rpc-runtime/src/logs/status.rs"]
mod status;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rpc_runtime::Source;
use rpc_runtime::logs::{Level, Record, Timestamp};
use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};

use self::queue::{LogEvent, Queue, QueueSize};
use self::shared::ExporterState;

const EPOCH: u64 = 7;
const THREADS: usize = 3;
/// Events per thread.
const EACH: usize = 3;
const ALL: usize = THREADS * EACH;
/// All texts have this length, so a number of events corresponds to a number of bytes.
const TEXT: &str = "0 0";

fn shared(capacity: usize) -> Arc<ExporterState> {
    let limit = capacity * QueueSize::of(TEXT).bytes;
    Arc::new(ExporterState::new("sink".into(), Queue::new(limit, EPOCH)))
}

fn source(name: &str) -> Arc<Source> {
    Arc::new(name.parse().expect("a source"))
}

fn write(shared: &ExporterState, source: Option<Arc<Source>>, text: &str) {
    shared.push(LogEvent {
        source,
        request_id: None,
        time: Timestamp::UNIX_EPOCH,
        level: Level::Info,
        target: "model",
        text: text.to_owned(),
    });
}

/// Starts the threads that log. The text of an event is the number of its thread and its number in
/// the thread.
fn writers(
    shared: &Arc<ExporterState>,
    sources: [Option<Arc<Source>>; THREADS],
) -> Vec<JoinHandle<()>> {
    let spawn = |(thread, source): (usize, Option<Arc<Source>>)| {
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            for n in 0..EACH {
                write(&shared, source.clone(), &format!("{thread} {n}"));
            }
        })
    };
    sources.into_iter().enumerate().map(spawn).collect()
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("it wrote");
    }
}

/// Model of the worker.
struct Exporter {
    shared: Arc<ExporterState>,
    /// Limit of the events in memory.
    capacity: usize,
    exported: Vec<Record>,
}

impl Exporter {
    fn new(shared: &Arc<ExporterState>, capacity: usize) -> Self {
        Self {
            shared: Arc::clone(shared),
            capacity,
            exported: Vec::new(),
        }
    }

    /// Drains the queue, and releases the memory as if the sink had accepted the records.
    fn drain(&mut self) {
        let mut drained = self.shared.queue.drain();
        let mut load = QueueSize::default();
        while let Some(records) = drained.next_records() {
            for record in records {
                load.add(QueueSize::of(&record.text));
                self.exported.push(record);
            }
        }
        // Everything drained before is released, so this is all that is in memory.
        assert!(
            load.records <= self.capacity,
            "{load:?} exceeds {}",
            self.capacity
        );
        thread::yield_now();
        self.shared.queue.release(load);
    }

    /// Runs until `count` records are exported. A lost wake-up would be a deadlock, which shuttle
    /// reports.
    fn export(&mut self, count: usize) {
        while self.exported.len() < count {
            self.wait(|| false);
            self.drain();
        }
    }

    fn wait(&self, is_over: impl Fn() -> bool) {
        while self.shared.queue.waiting().records == 0 && !is_over() {
            block_on(self.shared.wake.notified());
        }
    }

    /// Runs until `over` is set, then drains the queue once more.
    fn export_until(&mut self, over: &AtomicBool) {
        let is_over = || over.load(Ordering::SeqCst);
        loop {
            let ends = is_over();
            self.drain();
            if ends {
                return;
            }
            self.wait(is_over);
        }
    }

    /// Returns the sequence numbers by source, in export order. Checks that no record is exported
    /// twice and that those of one thread are in order.
    fn numbers(&self) -> HashMap<String, Vec<u64>> {
        let mut numbers: HashMap<_, Vec<_>> = HashMap::new();
        let mut last = [None; THREADS];
        for record in &self.exported {
            assert_eq!(record.epoch, Some(EPOCH));
            let (thread, n) = record.text.split_once(' ').expect("a text from here");
            let thread: usize = thread.parse().expect("a thread");
            let n: Option<usize> = Some(n.parse().expect("a number"));
            assert!(
                last[thread] < n,
                "thread {thread}: {n:?} after {:?}",
                last[thread]
            );
            last[thread] = n;
            let number = record.sequence.expect("a number");
            numbers
                .entry(record.source.to_string())
                .or_default()
                .push(number);
        }
        for numbers in numbers.values() {
            assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        }
        numbers
    }

    fn assert_holds_nothing(&self) {
        assert_eq!(self.shared.queue.in_memory(), QueueSize::default());
        assert_eq!(self.shared.queue.waiting(), QueueSize::default());
    }
}

fn dropped(shared: &ExporterState) -> usize {
    let dropped = shared.status().dropped.total();
    usize::try_from(dropped).expect("a few")
}

/// Below the limit, every event is exported once, each source has consecutive numbers from 1, and
/// the exporter is woken.
pub fn every_event_is_exported_once_and_in_order() {
    let shared = shared(ALL);
    let both = source("a@dev/1");
    // An equal source behind another pointer shares the sequence.
    let sources = [
        Some(Arc::clone(&both)),
        Some(source("a@dev/1")),
        Some(source("b@dev/1")),
    ];
    let writers = writers(&shared, sources);
    let mut exporter = Exporter::new(&shared, ALL);
    exporter.export(ALL);
    join(writers);
    let numbers = exporter.numbers();
    assert_eq!(
        numbers["a@dev/1"],
        (1..=2 * EACH as u64).collect::<Vec<_>>()
    );
    assert_eq!(numbers["b@dev/1"], (1..=EACH as u64).collect::<Vec<_>>());
    assert_eq!(dropped(&shared), 0);
    exporter.assert_holds_nothing();
}

/// Above the limit, each event is either exported or counted as dropped, the number of a dropped
/// event is not used again, and memory stays within the limit.
pub fn a_dropped_event_is_counted_and_leaves_a_gap() {
    const CAPACITY: usize = 2;
    let shared = shared(CAPACITY);
    let one = source("a@dev/1");
    let writers = writers(&shared, [(); THREADS].map(|()| Some(Arc::clone(&one))));
    let over = Arc::new(AtomicBool::new(false));
    let worker = {
        let (mut exporter, over) = (Exporter::new(&shared, CAPACITY), Arc::clone(&over));
        thread::spawn(move || {
            exporter.export_until(&over);
            exporter
        })
    };
    for _ in 0..ALL {
        let held = shared.queue.in_memory();
        assert!(held.records <= CAPACITY, "{held:?}");
        thread::yield_now();
    }
    join(writers);
    over.store(true, Ordering::SeqCst);
    shared.wake.notify_one();
    let mut exporter = worker.join().expect("it exported");
    assert_eq!(exporter.exported.len() + dropped(&shared), ALL);
    // The queue is empty now. The number of one more event shows how many were logged before.
    write(&shared, Some(Arc::clone(&one)), "0 9");
    exporter.drain();
    let exported = exporter.numbers().remove("a@dev/1").unwrap_or_default();
    let (last, exported) = exported.split_last().expect("the last event");
    assert_eq!(*last, ALL as u64 + 1);
    assert!(
        exported.len() >= CAPACITY,
        "the queue holds {CAPACITY}: {exported:?}"
    );
    assert_eq!(shared.status().dropped.queue_full, dropped(&shared) as u64);
    exporter.assert_holds_nothing();
}

/// Events logged outside of any server, before and while the source of the process is set, are
/// exported with that source, in order.
pub fn early_events_get_the_source_of_the_process() {
    let shared = shared(ALL);
    let writers = writers(&shared, [None, None, Some(source("b@dev/1"))]);
    thread::yield_now();
    // As in `PreparedExporter::start`: the source is set before the worker starts.
    shared
        .queue
        .set_process_source("p@dev/1".parse().expect("a source"));
    let mut exporter = Exporter::new(&shared, ALL);
    exporter.export(ALL);
    join(writers);
    let numbers = exporter.numbers();
    assert_eq!(
        numbers["p@dev/1"],
        (1..=2 * EACH as u64).collect::<Vec<_>>()
    );
    assert_eq!(numbers["b@dev/1"], (1..=EACH as u64).collect::<Vec<_>>());
    exporter.assert_holds_nothing();
}

/// Events logged while the export ends are exported or counted as unsent, and none stays in memory.
pub fn an_event_at_the_end_is_exported_or_counted() {
    let shared = shared(ALL);
    let one = source("a@dev/1");
    let writers = writers(&shared, [(); THREADS].map(|()| Some(Arc::clone(&one))));
    let mut exporter = Exporter::new(&shared, ALL);
    exporter.export(EACH);
    // As in `Worker::finish`.
    shared.queue.close();
    exporter.drain();
    join(writers);
    let exported = exporter.numbers().remove("a@dev/1").unwrap_or_default();
    assert!(
        exported.iter().copied().eq(1..=exported.len() as u64),
        "{exported:?}"
    );
    assert_eq!(exported.len() + dropped(&shared), ALL);
    assert_eq!(shared.status().dropped.unsent, dropped(&shared) as u64);
    exporter.assert_holds_nothing();
}
