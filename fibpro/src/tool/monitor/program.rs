//! The monitor as a program: options and output.

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use rpc_runtime::{Code, Error, Result};
use tokio::time::MissedTickBehavior;

use super::{Monitor, ServiceReport, write_table};
use crate::endpoints::Endpoints;
use crate::terminal;
use crate::tool::keys::KeyOptions;

/// Terminal sequences that move to the top left, and that clear the rest of a line.
const HOME: &str = "\x1b[H";
const LINE_END: &str = "\x1b[K\n";
const CLEAR_BELOW: &str = "\x1b[J";

/// Probes every service and prints its statistics; exits with 1 if one is down
#[derive(Debug, clap::Parser)]
#[command(version)]
#[group(skip)]
pub struct MonitorOptions {
    #[command(flatten)]
    endpoints: Endpoints,

    /// Timeout for each service, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    timeout: Duration,

    /// Repeat at this interval, in seconds, until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", value_parser = seconds)]
    watch: Option<Duration>,

    /// Print a JSON array, for programs; with --watch one array on each line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    keys: KeyOptions,
}

/// Probes the services, prints the reports, and returns whether all were up in the last round.
///
/// # Errors
///
/// Keys that cannot be read, an invalid address, or an output that cannot be written.
pub async fn run(options: MonitorOptions) -> Result<bool> {
    let keys = options.keys.read()?;
    let endpoints = &options.endpoints;
    let mut targets = Vec::new();
    for (service, urls) in endpoints.all()? {
        for url in urls {
            let client = endpoints.connect([url.clone()])?;
            targets.push((service, url, client));
        }
    }
    let monitor = Monitor::of_clients(targets, keys.as_ref(), options.timeout)?;
    let in_place = options.watch.is_some() && !options.json && io::stdout().is_terminal();
    let Some(pause) = options.watch else {
        let seen = monitor.probe().await;
        show(&seen, options.json, in_place)?;
        return Ok(seen.iter().all(|seen| seen.up));
    };
    let mut ticks = tokio::time::interval(pause.max(Duration::from_millis(100)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut all_up = true;
    let watching = async {
        loop {
            ticks.tick().await;
            let seen = monitor.probe().await;
            all_up = seen.iter().all(|seen| seen.up);
            if !show(&seen, options.json, in_place)? {
                return Ok::<_, Error>(());
            }
        }
    };
    tokio::select! {
        ended = watching => ended?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(all_up)
}

/// Returns whether the output is still open.
fn show(seen: &[ServiceReport], json: bool, in_place: bool) -> Result<bool> {
    let mut text = Vec::new();
    let written = match (json, in_place) {
        (true, _) => terminal::json(&seen)
            .map_err(io::Error::from)
            .and_then(|json| writeln!(text, "{json}")),
        (false, true) => text
            .write_all(HOME.as_bytes())
            .and_then(|()| write_table(seen, LINE_END, &mut text))
            .and_then(|()| text.write_all(CLEAR_BELOW.as_bytes())),
        (false, false) => write_table(seen, "\n", &mut text),
    };
    let mut out = io::stdout().lock();
    match written
        .and_then(|()| out.write_all(&text))
        .and_then(|()| out.flush())
    {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            let text = format!("cannot write to standard output: {error}");
            Err(Error::new(Code::Internal, text))
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0.0);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| {
            "expected a number of seconds above 0 and up to 1.8e19, such as 0.5".to_owned()
        })
}
