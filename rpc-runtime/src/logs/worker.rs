//! The one who ships: a thread of its own, so that neither a slow sink nor a slow disk holds up anybody else.
//!
//! Records pass in one order, and lie in at most four places on their way, from the oldest:
//!
//! ```text
//! batch      is being sent, or was and is to be sent again
//! spool      on disk: what came while the sink was away, or faster than it takes them
//! backlog    in memory: what did not fit into the last batch, or not on the disk
//! queue      in memory: what was written since
//! ```

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use super::backlog::{Backlog, load};
use super::layer::OWN_TARGET;
use super::shared::{BATCH_BYTES, BATCH_RECORDS, Shared};
use super::spool::{Spool, append_line};
use super::status::{Cause, Dropped};
use super::verdict::{self, Verdict};
use super::{Level, LogsClient, Record};
use crate::error::Error;

/// How long a record waits in memory for others that go with it.
const GATHER: Duration = Duration::from_millis(200);

/// How long a sink may take for a batch.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// From when on a sink that has not answered counts as one that may not: nothing should be only in memory then.
const SLOW: Duration = Duration::from_secs(1);

/// How long to leave a disk alone that could not be written.
const SPOOL_PAUSE: Duration = Duration::from_secs(1);

/// When shipping ends: whatever is not sent by then is not.
pub(super) type Stop = watch::Receiver<Option<Instant>>;

pub(super) struct Worker {
    shared: Arc<Shared>,
    client: LogsClient,
    /// The sink, for people.
    sink: Arc<str>,
    stop: Stop,
    spool: Option<Spool>,
    /// When the disk may be tried again.
    spool_rests: Option<Instant>,
    batch: Batch,
    backlog: Backlog,
    /// Failures in a row.
    failures: u32,
    /// Whether the last wait knew of the end.
    was_stopping: bool,
    /// Since when the sink is away.
    away: Option<Instant>,
    /// What was lost up to the last record that says so.
    reported: Dropped,
    /// What was lost up to the last warning.
    warned: Dropped,
}

/// The records that are sent next.
struct Batch {
    records: Vec<Record>,
    /// Whether they are on disk as well.
    is_spooled: bool,
    /// How many of them the next call has at most.
    most: usize,
    /// How often a single one was sent.
    attempts_of_one: u32,
}

/// How a call ended.
enum Sent {
    Taken(usize),
    Failed(Error),
    /// There was no time left for an answer.
    Stopped,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        client: LogsClient,
        sink: Arc<str>,
        spool: Option<Spool>,
        stop: Stop,
    ) -> Self {
        Self {
            shared,
            client,
            sink,
            stop,
            spool,
            spool_rests: None,
            batch: Batch {
                records: Vec::new(),
                is_spooled: false,
                most: BATCH_RECORDS,
                attempts_of_one: 0,
            },
            backlog: Backlog::default(),
            failures: 0,
            was_stopping: false,
            away: None,
            reported: Dropped::default(),
            warned: Dropped::default(),
        }
    }

    /// Ships until it is told to stop.
    pub(super) async fn run(mut self) {
        self.adopt();
        loop {
            if self.batch.records.is_empty() {
                self.refill().await;
            }
            if self.batch.records.is_empty() || self.is_out_of_time() {
                if self.is_stopping() {
                    break;
                }
                continue;
            }
            let is_last_try = self.is_stopping() && self.spool.is_some();
            match self.send().await {
                Sent::Taken(count) => self.taken(count),
                // There is no use in trying on: what is left can stay in the spool.
                Sent::Failed(error) if is_last_try && Verdict::of(&error) != Verdict::Invalid => {
                    self.say_away(&error);
                    break;
                }
                Sent::Failed(error) => self.failed(&error).await,
                Sent::Stopped => break,
            }
        }
        self.end();
    }

    fn adopt(&mut self) {
        let Some(spool) = &mut self.spool else {
            return;
        };
        spool.adopt();
        if spool.bytes() > 0 {
            let bytes = spool.bytes();
            tracing::info!(target: OWN_TARGET, bytes, "an earlier life left log records in the spool; they are sent first");
        }
        self.account_for_spool();
    }

    /// Looks for the next batch, and waits until there is one.
    async fn refill(&mut self) {
        self.batch.is_spooled = false;
        self.batch.attempts_of_one = 0;
        if let Some(spool) = &mut self.spool {
            self.batch.records = spool.take(BATCH_RECORDS, BATCH_BYTES);
            self.batch.is_spooled = !self.batch.records.is_empty();
            self.account_for_spool();
        }
        if self.batch.records.is_empty() && self.backlog.is_empty() {
            self.gather().await;
            self.backlog.fill(&self.shared.queue);
        }
        if self.batch.records.is_empty() {
            self.batch.records = self.backlog.take(BATCH_RECORDS, BATCH_BYTES);
        }
    }

    /// Waits until the queue has a batch, or something that has waited for long enough.
    async fn gather(&mut self) {
        let mut due = None;
        while !self.is_stopping() && !self.shared.has_batch() {
            if due.is_none() && self.shared.queue.waiting().records > 0 {
                due = Some(tokio::time::Instant::now() + GATHER);
            }
            let over = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                () = self.shared.wake.notified() => {}
                () = stopped(&mut self.stop) => {}
            }
        }
    }

    /// Sends the batch, or the part of it that is small enough, and goes on emptying the queue meanwhile.
    async fn send(&mut self) -> Sent {
        let count = self.batch.most.min(self.batch.records.len());
        let timeout = match self.time_left() {
            Some(left) => CALL_TIMEOUT.min(left),
            None => CALL_TIMEOUT,
        };
        let records = &self.batch.records[..count];
        let mut call = self.client.append(records).timeout(timeout);
        let start = Instant::now();
        loop {
            tokio::select! {
                biased;
                outcome = &mut call => return match outcome {
                    Ok(_) => Sent::Taken(count),
                    Err(error) => Sent::Failed(error.into_inner()),
                },
                () = sleep(GATHER) => {}
                () = self.shared.wake.notified() => {}
                () = stopped(&mut self.stop), if !self.is_stopping() => {}
            }
            if self.is_out_of_time() {
                return Sent::Stopped;
            }
            if start.elapsed() >= SLOW || self.shared.queue.is_pressed() {
                self.spill();
            }
            self.warn_of_drops();
        }
    }

    fn taken(&mut self, count: usize) {
        let batch = &mut self.batch;
        let rest = batch.records.split_off(count);
        let sent = std::mem::replace(&mut batch.records, rest);
        batch.most = (batch.most * 2).min(BATCH_RECORDS);
        batch.attempts_of_one = 0;
        self.done_with(&sent);
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.shared.gauges.sent.fetch_add(count, Ordering::Relaxed);
        self.is_back();
        self.report_drops();
    }

    /// Lets go of the oldest records of the batch, wherever they are.
    fn done_with(&mut self, records: &[Record]) {
        if self.batch.is_spooled {
            if let Some(spool) = &mut self.spool {
                spool.acknowledge(records.len());
            }
            self.account_for_spool();
        } else {
            self.shared.queue.release(load(records));
        }
    }

    async fn failed(&mut self, error: &Error) {
        let verdict = Verdict::of(error);
        let batch = &mut self.batch;
        let count = batch.most.min(batch.records.len());
        if verdict != Verdict::Away {
            batch.most = (count / 2).max(1);
        }
        if count == 1 && matches!(verdict, Verdict::Invalid | Verdict::Trouble) {
            batch.attempts_of_one += 1;
            if verdict == Verdict::Invalid || batch.attempts_of_one >= verdict::ATTEMPTS_OF_ONE {
                self.refuse_first(error);
            }
        }
        if verdict == Verdict::Invalid {
            // It is there, and looks at what it gets.
            return self.is_back();
        }
        self.say_away(error);
        self.failures = self.failures.saturating_add(1);
        // While the sink is away, nothing should be only in memory.
        self.spill();
        let wait = verdict::wait(self.failures, error.retry_after(), fastrand::f64());
        self.pause(wait).await;
    }

    /// Gives the first record of the batch up, so that the others get through.
    fn refuse_first(&mut self, error: &Error) {
        let rest = self.batch.records.split_off(1);
        let refused = std::mem::replace(&mut self.batch.records, rest);
        self.done_with(&refused);
        self.batch.attempts_of_one = 0;
        self.shared.gauges.drop_records(Cause::Refused, 1);
        if self.reported.refused == self.warned.refused {
            let (sink, sequence) = (&*self.sink, refused[0].sequence);
            let source = refused[0].source.as_str();
            tracing::warn!(target: OWN_TARGET, sink, source, sequence, %error, "the log sink refuses a record, which is dropped");
        }
        self.warned.refused = self.shared.gauges.dropped().refused;
    }

    /// Waits, and keeps the queue empty meanwhile.
    async fn pause(&mut self, wait: Duration) {
        let until = tokio::time::Instant::now() + wait;
        let was_stopping = self.was_stopping;
        self.was_stopping = self.is_stopping();
        if was_stopping != self.was_stopping {
            return;
        }
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                () = sleep(GATHER) => {}
                () = self.shared.wake.notified() => {}
                // The end is worth an attempt at once.
                () = stopped(&mut self.stop), if !was_stopping => {
                    self.was_stopping = true;
                    return;
                }
            }
            if self.is_out_of_time() {
                return;
            }
            self.spill();
            self.warn_of_drops();
        }
    }

    /// Moves everything from memory to the spool, as far as there is one that can be written.
    fn spill(&mut self) {
        let now = Instant::now();
        if self.spool.is_none() || self.spool_rests.is_some_and(|until| now < until) {
            return;
        }
        self.spool_rests = None;
        if let Err(error) = self.try_spill() {
            self.spool_rests = now.checked_add(SPOOL_PAUSE);
            tracing::warn!(
                target: OWN_TARGET, %error,
                "the log spool cannot be written; records stay in memory as long as there is room"
            );
        }
        self.account_for_spool();
    }

    fn try_spill(&mut self) -> io::Result<()> {
        let Some(spool) = &mut self.spool else {
            return Ok(());
        };
        let queue = &self.shared.queue;
        let batch = &mut self.batch;
        // The batch is older than all that follows; where something waits in the spool already, it is too late for that.
        if !batch.records.is_empty() && !batch.is_spooled && spool.is_drained() {
            let lines = lines(&batch.records);
            if spool.has_room_for(&lines) {
                spool.append(&lines, batch.records.len(), true)?;
                queue.release(load(&batch.records));
                batch.is_spooled = true;
            }
        }
        loop {
            if self.backlog.is_empty() {
                self.backlog.fill(queue);
            }
            // No more than a segment has: what is dropped to make room for it is as much.
            let records = self.backlog.take(BATCH_RECORDS, spool.segment_bytes() / 2);
            if records.is_empty() {
                return Ok(());
            }
            match spool.append(&lines(&records), records.len(), false) {
                Ok(()) => queue.release(load(&records)),
                Err(error) => {
                    self.backlog.put_back(records);
                    return Err(error);
                }
            }
        }
    }

    /// Counts what the spool could not keep, and notes its size.
    fn account_for_spool(&mut self) {
        let Some(spool) = &mut self.spool else {
            return;
        };
        let lost = spool.take_lost();
        let gauges = &self.shared.gauges;
        gauges.drop_records(Cause::SpoolFull, lost.full);
        gauges.drop_records(Cause::Damaged, lost.damaged);
        gauges.spooled_bytes.store(spool.bytes(), Ordering::Relaxed);
        if lost.of_taken && self.batch.is_spooled {
            // Now they are in memory alone, which has room for one batch.
            self.batch.is_spooled = false;
            self.shared.queue.borrow(load(&self.batch.records));
        }
        self.warn_of_drops();
    }

    fn say_away(&mut self, error: &Error) {
        self.shared.gauges.sink_up.store(false, Ordering::Relaxed);
        if self.away.is_none() {
            self.away = Some(Instant::now());
            let keeps = match &self.spool {
                Some(spool) => format!("records wait in {}", spool.path().display()),
                None => "records wait in memory alone".to_owned(),
            };
            tracing::warn!(target: OWN_TARGET, sink = &*self.sink, %error, "the log sink does not take records; {keeps}");
        }
    }

    fn is_back(&mut self) {
        self.failures = 0;
        self.shared.gauges.sink_up.store(true, Ordering::Relaxed);
        if let Some(since) = self.away.take() {
            let away = since.elapsed();
            tracing::info!(target: OWN_TARGET, sink = &*self.sink, ?away, "the log sink takes records again");
        }
    }

    /// Says once in the log of the process that records are being lost.
    fn warn_of_drops(&mut self) {
        let dropped = self.shared.gauges.dropped();
        if self.warned == self.reported && dropped != self.warned {
            let new = dropped.since(&self.reported);
            tracing::warn!(target: OWN_TARGET, sink = &*self.sink, "log records are being dropped: {new}");
        }
        self.warned = dropped;
    }

    /// Says in a record of its own what was lost; to be called when the sink takes records.
    fn report_drops(&mut self) {
        let dropped = self.shared.gauges.dropped();
        if dropped == self.reported {
            return;
        }
        let new = dropped.since(&self.reported);
        let (count, total) = (new.total(), dropped.total());
        let were = if count == 1 {
            "record was"
        } else {
            "records were"
        };
        self.shared.queue.push_own(
            Level::Warn,
            OWN_TARGET,
            format!("{count} log {were} dropped: {new} ({total} since the start)"),
        );
        self.reported = dropped;
        self.warned = dropped;
    }

    /// Puts away what was not sent.
    fn end(mut self) {
        self.shared.queue.close();
        self.spool_rests = None;
        self.spill();
        if let Some(spool) = &mut self.spool
            && !self.batch.records.is_empty()
            && !self.batch.is_spooled
        {
            // Behind those that came later, since their place was dropped: the numbers tell.
            let (lines, count) = (lines(&self.batch.records), self.batch.records.len());
            self.batch.is_spooled = spool.append(&lines, count, false).is_ok();
        }
        self.account_for_spool();
        let mut unsent = 0;
        if !self.batch.is_spooled {
            unsent += self.batch.records.len();
        }
        self.backlog.fill(&self.shared.queue);
        loop {
            let left = self.backlog.take(BATCH_RECORDS, BATCH_BYTES);
            if left.is_empty() {
                break;
            }
            unsent += left.len();
        }
        let held = self.shared.queue.held();
        self.shared.queue.release(held);
        self.shared.gauges.drop_records(Cause::Unsent, unsent);
        let new = self.shared.gauges.dropped().since(&self.reported);
        if new.total() > 0 {
            tracing::warn!(target: OWN_TARGET, sink = &*self.sink, "log records were dropped: {new}");
        }
        if let Some(spool) = self.spool.take() {
            spool.close();
        }
    }

    fn is_stopping(&self) -> bool {
        self.stop.borrow().is_some()
    }

    /// How much time there is until the end; `None` while nobody speaks of an end.
    fn time_left(&self) -> Option<Duration> {
        let end = *self.stop.borrow();
        Some(end?.saturating_duration_since(Instant::now()))
    }

    fn is_out_of_time(&self) -> bool {
        self.time_left().is_some_and(|left| left.is_zero())
    }
}

/// Records as they stand in the spool.
fn lines(records: &[Record]) -> Vec<u8> {
    let mut lines = Vec::new();
    for record in records {
        append_line(&mut lines, record);
    }
    lines
}

/// Waits until the end has a time. Nobody who could name one is left when the handle is gone without a word.
async fn stopped(stop: &mut Stop) {
    if stop.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}
