//! The queue between the threads that write the log and the one that ships it.
//!
//! The one that ships is told here as `Exporter`, with the steps of the runtime's `worker.rs` and without its timers: it
//! looks, takes all, gives the room back, and waits where there is nothing.

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
/// Events of one thread.
const EACH: usize = 3;
const ALL: usize = THREADS * EACH;
/// Each text is as long, so that a number of events is a number of bytes.
const TEXT: &str = "0 0";

fn shared(room: usize) -> Arc<ExporterState> {
    let limit = room * QueueSize::of(TEXT).bytes;
    Arc::new(ExporterState::new(Queue::new(limit, EPOCH)))
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

/// Threads that write. The text of an event says which thread wrote it, and as its how manieth.
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

/// The one that ships.
struct Exporter {
    shared: Arc<ExporterState>,
    /// How many events may lie in memory.
    room: usize,
    exported: Vec<Record>,
}

impl Exporter {
    fn new(shared: &Arc<ExporterState>, room: usize) -> Self {
        Self {
            shared: Arc::clone(shared),
            room,
            exported: Vec::new(),
        }
    }

    /// Takes all that there is, and gives its room back when the sink would have it.
    fn take(&mut self) {
        let mut taken = self.shared.queue.drain();
        let mut load = QueueSize::default();
        while let Some(records) = taken.next_records() {
            for record in records {
                load.add(QueueSize::of(&record.text));
                self.exported.push(record);
            }
        }
        // All that was taken before is given back, so this is what the account let in.
        assert!(
            load.records <= self.room,
            "{load:?} in room for {}",
            self.room
        );
        thread::yield_now();
        self.shared.queue.release(load);
    }

    /// Ships until it has so many. Were a wake-up lost, it would wait for ever, and shuttle says so.
    fn export(&mut self, count: usize) {
        while self.exported.len() < count {
            self.wait(|| false);
            self.take();
        }
    }

    fn wait(&self, is_over: impl Fn() -> bool) {
        while self.shared.queue.waiting().records == 0 && !is_over() {
            block_on(self.shared.wake.notified());
        }
    }

    /// Ships until there is nothing, and nothing comes any more.
    fn export_until(&mut self, over: &AtomicBool) {
        let is_over = || over.load(Ordering::SeqCst);
        loop {
            let ends = is_over();
            self.take();
            if ends {
                return;
            }
            self.wait(is_over);
        }
    }

    /// The numbers of each source, in the order in which they were exported. Nothing is there twice, and what one thread
    /// wrote is in its order.
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
                "thread {thread}: {n:?} behind {:?}",
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

/// Where there is room, nothing is lost and nothing doubled, each source has the numbers from 1 without a gap, and the
/// one that ships is woken for it.
pub fn everything_is_shipped_once_and_in_order() {
    let shared = shared(ALL);
    let both = source("a@dev/1");
    // Another pointer to the same name is the same source.
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

/// Where there is no room, each event is exported or counted and none is both, its number stays free, and memory is never
/// above its bound.
pub fn what_has_no_room_is_counted_and_leaves_a_gap() {
    const ROOM: usize = 2;
    let shared = shared(ROOM);
    let one = source("a@dev/1");
    let writers = writers(&shared, [(); THREADS].map(|()| Some(Arc::clone(&one))));
    let over = Arc::new(AtomicBool::new(false));
    let exporting = {
        let (mut exporter, over) = (Exporter::new(&shared, ROOM), Arc::clone(&over));
        thread::spawn(move || {
            exporter.export_until(&over);
            exporter
        })
    };
    for _ in 0..ALL {
        let held = shared.queue.in_memory();
        assert!(held.records <= ROOM, "{held:?}");
        thread::yield_now();
    }
    join(writers);
    over.store(true, Ordering::SeqCst);
    shared.wake.notify_one();
    let mut exporter = exporting.join().expect("it exported");
    assert_eq!(exporter.exported.len() + dropped(&shared), ALL);
    // Now there is room, and the number of one more tells how many were given away.
    write(&shared, Some(Arc::clone(&one)), "0 9");
    exporter.take();
    let exported = exporter.numbers().remove("a@dev/1").unwrap_or_default();
    let (last, exported) = exported.split_last().expect("there was room");
    assert_eq!(*last, ALL as u64 + 1);
    assert!(
        exported.len() >= ROOM,
        "there was room for {ROOM}: {exported:?}"
    );
    assert_eq!(shared.status().dropped.queue_full, dropped(&shared) as u64);
    exporter.assert_holds_nothing();
}

/// What is written outside of any server, before and while the process gets its name, is exported under that name, and
/// what was early is first.
pub fn what_is_early_is_shipped_under_the_name_that_comes() {
    let shared = shared(ALL);
    let writers = writers(&shared, [None, None, Some(source("b@dev/1"))]);
    thread::yield_now();
    // As `Prepared::start` does: first the name, and then there is somebody who ships.
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

/// What is written while exporting ends is exported or counted as not sent, and nothing is left behind.
pub fn what_comes_at_the_end_is_shipped_or_counted() {
    let shared = shared(ALL);
    let one = source("a@dev/1");
    let writers = writers(&shared, [(); THREADS].map(|()| Some(Arc::clone(&one))));
    let mut exporter = Exporter::new(&shared, ALL);
    exporter.export(EACH);
    // As `Worker::end` does.
    shared.queue.close();
    exporter.take();
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
