//! `fibpro chaos`: buys numbers while services are killed, stopped and lose their files, and then
//! checks credit and logs.

mod buyers;
mod checks;
mod faults;
mod system;

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use fibpro::process::print_note;
use rpc_runtime::ProcessSignals;
use tokio::time::{Instant, sleep_until};

use self::buyers::Buyers;
use self::faults::{FaultKind, Faults};
use self::system::System;
use super::CommandError;

/// The longest time without an order that succeeds, once the faults have ended. All orders are
/// repeated, and their number grows with the length of the run.
const SETTLING: Duration = Duration::from_secs(120);

/// Maximum number of findings that are printed.
const FINDINGS: usize = 20;

/// Test all services under random faults, and check that credit and logs are exact
///
/// Runs `fibpro up --processes` with two replicas of pricing and of the compute worker in a new
/// folder, buys numbers, and injects one fault after the
/// other. Then every order is asked for again, and the run fails if a user's credit is not exact,
/// a number is wrong, or a log record is stored twice or lost uncounted. The folder is removed
/// after a run without findings.
#[derive(Debug, clap::Args)]
pub(crate) struct ChaosOptions {
    /// Seed of the faults and of the orders; printed with the results [default: random]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Length of the run in minutes, such as 5 or 0.5
    #[arg(long, value_name = "M", default_value = "1", value_parser = minutes)]
    minutes: Duration,

    /// Number of buyers that work side by side
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    buyers: u16,

    /// Kinds of faults, separated by commas [default: all]
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_enum)]
    faults: Vec<FaultKind>,

    /// Folder for the data of the run, which must not exist [default: a new temporary folder]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub(crate) async fn run(options: ChaosOptions, out: &mut impl Write) -> Result<(), CommandError> {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    let mut signals = ProcessSignals::with_hangup()?;
    let mut faults = Faults::new(seed, &options.faults);
    let mut system = System::prepare(options.folder.clone(), &mut faults)
        .await
        .map_err(CommandError::Service)?;
    print_note(format_args!(
        "chaos with seed {seed} in {}; faults: {}",
        system.folder().display(),
        faults.kinds_text()
    ));
    for (kind, why) in faults.left_out() {
        print_note(format_args!("left out: {kind} ({why})"));
    }
    let outcome = tokio::select! {
        outcome = test(&options, seed, &mut faults, &mut system) => outcome,
        signal = signals.next() => Err(format!("ended by {signal} before the run was over")),
    };
    let stopped = system.stop().await;
    let report = match outcome {
        Ok(report) => report,
        Err(error) => {
            system.keep();
            return Err(CommandError::Service(error));
        }
    };
    let mut findings = report.findings;
    findings.extend(stopped.err());
    let mut text = format!("seed {seed}: {}\n{}\n", report.summary, faults.summary());
    for finding in findings.iter().take(FINDINGS) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "finding: {finding}");
    }
    out.write_all(text.as_bytes())
        .map_err(CommandError::Output)?;
    if findings.is_empty() {
        return system.remove().map_err(CommandError::Service);
    }
    system.keep();
    let folder = system.folder().display();
    let count = match findings.len() {
        1 => "1 finding".to_owned(),
        count => format!("{count} findings"),
    };
    Err(CommandError::Service(format!(
        "{count}; the data and the log of the services are in {folder}"
    )))
}

/// The findings of a run, and its numbers for the summary line.
struct Report {
    summary: String,
    findings: Vec<String>,
}

async fn test(
    options: &ChaosOptions,
    seed: u64,
    faults: &mut Faults,
    system: &mut System,
) -> Result<Report, String> {
    let urls = system.start().await?;
    let buyers = Buyers::start(&urls.gatekeeper, seed, options.buyers)?;
    let end = Instant::now() + options.minutes;
    while Instant::now() < end {
        faults.inject_one(system).await;
        sleep_until(end.min(Instant::now() + faults.pause())).await;
        if let Some(why) = system.has_ended() {
            return Err(format!("`fibpro up` ended during the run: {why}"));
        }
    }
    let mut orders = buyers.stop().await;
    let mut findings = orders.take_findings();
    if !orders.settle(SETTLING).await {
        findings.push(format!(
            "{} orders did not succeed after the last fault; no order did for {} s",
            orders.open(),
            SETTLING.as_secs()
        ));
    }
    findings.extend(orders.take_findings());
    findings.extend(checks::credit(&urls, system, &orders).await?);
    let logs = checks::logs(&urls, system).await?;
    findings.extend(logs.findings);
    let summary = format!(
        "{} orders, {} filled at once, {} without a key whose response was lost; {} log records stored, {} reported as dropped",
        orders.count(),
        orders.filled_at_once(),
        orders.iter().filter(|order| order.is_lost()).count(),
        logs.stored,
        logs.dropped
    );
    Ok(Report { summary, findings })
}

fn minutes(text: &str) -> Result<Duration, String> {
    let wrong = "expected minutes from 0.1 to 1440, such as 5 or 0.5";
    let minutes: f64 = text.parse().map_err(|_| wrong.to_owned())?;
    if !(0.1..=1440.0).contains(&minutes) {
        return Err(wrong.to_owned());
    }
    Ok(Duration::from_secs_f64(minutes * 60.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_lasts_six_seconds_to_a_day() {
        assert_eq!(minutes("0.5"), Ok(Duration::from_secs(30)));
        assert_eq!(minutes("1440"), Ok(Duration::from_secs(86_400)));
        for text in ["", "0", "0.05", "-1", "NaN", "inf", "1441", "5m"] {
            assert!(minutes(text).is_err(), "{text}");
        }
    }
}
