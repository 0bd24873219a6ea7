//! The monitor: `cargo run -p fibpro --bin monitor`.

use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fibpro::endpoints::Endpoints;
use fibpro::process;
use fibpro::tool::monitor::{Monitor, Seen, write_table};
use rpc_runtime::{Code, Error, IdentityKeys, Result};
use tokio::time::MissedTickBehavior;

/// Draws over what is on the screen, and ends a line with whatever was behind it gone.
const HOME: &str = "\x1b[H";
const LINE_END: &str = "\x1b[K\n";
const CLEAR_BELOW: &str = "\x1b[J";

/// Asks every service whether it is there and how it does; ends with 1 when one is down
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    endpoints: Endpoints,

    /// How long each service has to answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    timeout: Duration,

    /// Looks again and again, every so many seconds, until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", value_parser = seconds)]
    watch: Option<Duration>,

    /// A JSON array for programs; with --watch one a line
    #[arg(long)]
    json: bool,

    /// The keys by which services know each other, where they answer signed calls only
    #[arg(long, env = "RPC_IDENTITY_KEY_FILE", value_name = "FILE")]
    identity_key_file: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => process::exit_code(Err::<(), _>(error)),
    }
}

/// Whether all services were up at the last look.
async fn run(options: Options) -> Result<bool> {
    let keys = options
        .identity_key_file
        .map(IdentityKeys::from_file)
        .transpose()?;
    let endpoints = options.endpoints.all();
    let targets = endpoints
        .into_iter()
        .flat_map(|(service, urls)| urls.into_iter().map(move |url| (service, url)));
    let monitor = Monitor::new(targets, keys.as_ref(), options.timeout)?;
    let in_place = options.watch.is_some() && !options.json && io::stdout().is_terminal();
    let Some(pause) = options.watch else {
        let seen = monitor.look().await;
        show(&seen, options.json, in_place)?;
        return Ok(seen.iter().all(|seen| seen.up));
    };
    let mut ticks = tokio::time::interval(pause.max(Duration::from_millis(100)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut all_up = true;
    let watching = async {
        loop {
            ticks.tick().await;
            let seen = monitor.look().await;
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

/// Whether there is somebody left to read it.
fn show(seen: &[Seen], json: bool, in_place: bool) -> Result<bool> {
    let mut text = Vec::new();
    let written = match (json, in_place) {
        (true, _) => serde_json::to_writer(&mut text, seen)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(text)),
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
        .ok_or_else(|| "a number of seconds above 0, such as 0.5".to_owned())
}
