//! Calls over loopback in a closed loop: the framework compared with hand-written axum + reqwest.
//!
//! | module | content |
//! | --- | --- |
//! | `candidate` | the measured combinations of a server and a client |
//! | `baseline` | the hand-written server and client |
//! | `tls` | the certificate, and the hand-written server over TLS |
//! | `load` | the process of the client |
//! | `rounds` | the processes of each round |
//! | `report` | medians, as a table and as JSON |

mod baseline;
mod candidate;
mod load;
mod report;
mod rounds;
mod tls;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use self::candidate::{Candidate, Work};

/// Any error: the harness stops at the first one.
type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Measures calls over loopback, client and server in separate processes.
#[derive(Debug, Parser)]
struct Command {
    #[command(subcommand)]
    process: Option<Process>,
    #[command(flatten)]
    plan: RunPlan,
}

/// The processes that the harness starts for each measurement.
#[derive(Debug, Subcommand)]
enum Process {
    /// Serves on a free port of 127.0.0.1, prints its address, and ends when its standard input is
    /// closed.
    #[command(hide = true)]
    Serve {
        /// The candidate whose server runs
        candidate: Candidate,
        /// Folder of the certificate
        #[arg(long)]
        certificate: PathBuf,
    },
    /// Calls in a closed loop and prints what it took.
    #[command(hide = true)]
    Call(load::Load),
}

/// The measurements to make.
#[derive(Debug, Args)]
struct RunPlan {
    /// Number of interleaved rounds; medians are reported
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Length of one measurement in seconds
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Candidates to measure
    #[arg(long, value_delimiter = ',', default_values_t = Candidate::USUAL)]
    only: Vec<Candidate>,
    /// Candidate that the others are compared with
    #[arg(long, default_value_t = Candidate::Baseline)]
    base: Candidate,
    /// Calls to measure
    #[arg(long, value_delimiter = ',', default_values_t = [Work::Small, Work::Large])]
    work: Vec<Work>,
    /// Numbers of concurrent calls
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256])]
    in_flight: Vec<usize>,
    /// File for the medians as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let command = Command::parse();
    match command.process {
        Some(Process::Serve {
            candidate,
            certificate,
        }) => runtime()?.block_on(candidate.serve(&certificate)),
        Some(Process::Call(load)) => runtime()?.block_on(load.run()),
        None => rounds::run(&command.plan),
    }
}

/// Creates the runtime of every process: tokio's default.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}

fn seconds(seconds: f64) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(seconds)?)
}
