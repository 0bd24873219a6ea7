//! A closed loop over loopback: the framework beside a hand-written axum + reqwest pair that does the same work.
//!
//! | file | what it does |
//! | --- | --- |
//! | `contestant` | who is measured: which server, which client |
//! | `pair` | the hand-written server and client |
//! | `load` | the client's process: calls in a closed loop, and what they took |
//! | `rounds` | starts the processes, round by round |
//! | `report` | medians, as a table and as JSON |

mod contestant;
mod load;
mod pair;
mod report;
mod rounds;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use self::contestant::{Contestant, Work};

/// Any error: the harness stops at the first one.
type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Measures calls over loopback, client and server in separate processes.
#[derive(Debug, Parser)]
struct Command {
    #[command(subcommand)]
    process: Option<Process>,
    #[command(flatten)]
    plan: Plan,
}

/// What the harness starts itself as, for each measurement.
#[derive(Debug, Subcommand)]
enum Process {
    /// Serves on a free port, prints it, and ends with its standard input.
    #[command(hide = true)]
    Serve {
        /// Whose server.
        contestant: Contestant,
    },
    /// Calls in a closed loop and prints what it took.
    #[command(hide = true)]
    Call(load::Load),
}

/// What is measured, and for how long.
#[derive(Debug, Args)]
struct Plan {
    /// How often each measurement is made. The rounds are interleaved; medians are reported.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds a measurement.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Who is measured.
    #[arg(long, value_delimiter = ',', default_values_t = Contestant::USUAL)]
    only: Vec<Contestant>,
    /// Whom the others are compared with.
    #[arg(long, default_value_t = Contestant::Pair)]
    base: Contestant,
    /// With which calls.
    #[arg(long, value_delimiter = ',', default_values_t = [Work::Small, Work::Large])]
    work: Vec<Work>,
    /// With how many calls at one time.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256])]
    in_flight: Vec<usize>,
    /// Writes the medians here as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let command = Command::parse();
    match command.process {
        Some(Process::Serve { contestant }) => runtime()?.block_on(contestant.serve()),
        Some(Process::Call(load)) => runtime()?.block_on(load.run()),
        None => rounds::run(&command.plan),
    }
}

/// The runtime of every process, whoever is measured: tokio's default.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}

fn seconds(seconds: f64) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(seconds)?)
}
