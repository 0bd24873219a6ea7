//! Records that a log sink accepts: full batches from several senders, without a pause.

use std::io::Write as _;
use std::time::{Instant, UNIX_EPOCH};

use rpc_runtime::RequestId;
use rpc_runtime::logs::{Level, LogsClient, Record};
use tokio::task::JoinSet;

use crate::Outcome;

const SENDERS: u64 = 4;

/// Number of batches of a sender in a round.
const BATCHES: u64 = 500;

/// Number of records in a batch, as the exporter sends them.
const BATCH: u64 = 1000;

/// Number of rounds. Two million records fill a store of 64 MiB in the first one; from then on the
/// oldest records are evicted.
const ROUNDS: u64 = 3;

/// Sends records to the sink at a URL, and prints how many it has accepted a second.
pub(crate) async fn measure(url: &str) -> Outcome<()> {
    let mut out = std::io::stdout();
    writeln!(out, "| round | records | records/s |\n| --- | --- | --- |")?;
    for round in 1..=ROUNDS {
        // A later epoch than that of any earlier run, whose records the sink may remember.
        let epoch = u64::try_from(UNIX_EPOCH.elapsed()?.as_millis())?;
        let start = Instant::now();
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            let source = format!("server{sender}@prod/127.0.0.1:9003").parse()?;
            let time = "2026-11-22T12:25:34.021Z".parse()?;
            let mut first = Record::new(source, time, Level::Info, "");
            first.epoch = Some(epoch);
            "fibpro::service::userstore".clone_into(&mut first.target);
            senders.spawn(send(LogsClient::connect(url)?, first));
        }
        while let Some(sent) = senders.join_next().await {
            sent??;
        }
        let records = SENDERS * BATCHES * BATCH;
        let seconds = start.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "less than 2^53")]
        let rate = records as f64 / seconds;
        writeln!(out, "| {round} | {records} | {rate:.0} |")?;
    }
    Ok(())
}

/// Sends the batches of a sender. Records differ from the first one in number, request and text.
async fn send(logs: LogsClient, first: Record) -> rpc_runtime::Result<()> {
    for batch in 0..BATCHES {
        let record = |index| {
            let sequence = batch * BATCH + index;
            let mut record = first.clone();
            record.sequence = Some(sequence);
            record.request_id = Some(RequestId::random());
            record.text = format!("Credit for username incremented -1 yielding {sequence}");
            record
        };
        let records: Vec<_> = (1..=BATCH).map(record).collect();
        logs.append(&records).await?;
    }
    Ok(())
}
