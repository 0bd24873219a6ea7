//! Paid requests through all services of FibPro.
//!
//! `cargo run --release -p bench-fibpro [SECONDS]`, in `benches`; about a minute with 3 s a cell,
//! which is the default. Each request is a purchase: HTTP at the gatekeeper, a login, seven calls
//! between services, two transactions. Nothing is tuned: limits, password hashes and the durability
//! of the databases are those of production. Load and services share the cores of this machine.
//!
//! Three layouts, otherwise equal: all services in one process without sockets between them; the
//! same with sockets; one process each. The difference between the second and the first, divided by
//! seven, is the cost of a hop.

mod layout;
mod load;
mod postgres;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use self::layout::{Layout, System};
use self::load::{Load, Measured};
use self::postgres::Postgres;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Number of users: as many as requests in flight, since two purchases of one user wait for each
/// other.
const USERS: usize = 64;

/// Number of users whose first logins are sequential; the others log in concurrently.
const ONE_BY_ONE: usize = 16;

/// Calls between services in a purchase: verify, generate, pay, reserve, compute, settle twice.
const HOPS: u32 = 7;

/// Number of measurements per cell, to show the variance.
const SLICES: u32 = 3;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((word, rest)) if word == "service" => layout::serve(rest).await,
        _ => measure(arguments.first().map(String::as_str)).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A folder that is deleted on drop.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn measure(seconds: Option<&str>) -> Result<(), Failure> {
    let seconds = seconds.map_or(Ok(3.0), str::parse)?;
    let slice = Duration::try_from_secs_f64(seconds)? / SLICES;
    let name = format!("bench-fibpro-{}", std::process::id());
    let folder = Folder(std::env::temp_dir().join(name));
    std::fs::create_dir_all(&folder.0)?;
    let users = folder.0.join("users.json");
    std::fs::write(&users, list_of_users())?;

    print_line(
        "DATABASE    LAYOUT        LOGINS  IN FLIGHT   REQUESTS/S             P50        P99",
    )?;
    let mut medians = Vec::new();
    for layout in [Layout::Local, Layout::Sockets, Layout::Processes] {
        let file = folder.0.join(format!("{layout:?}.sqlite"));
        let database = format!("sqlite://{}", file.display());
        let system = System::start(layout, &database, &users).await?;
        medians.push(table("SQLite", layout, &system, slice).await?);
    }
    match Postgres::start(&folder.0)? {
        Some(postgres) => {
            for layout in [Layout::Sockets, Layout::Processes] {
                let database = postgres.database(&format!("{layout:?}").to_lowercase())?;
                let system = System::start(layout, &database, &users).await?;
                table("PostgreSQL", layout, &system, slice).await?;
            }
        }
        None => print_line("PostgreSQL is skipped: it is not installed")?,
    }
    if let [local, sockets, processes] = medians[..] {
        let hop = |median: Duration| median.saturating_sub(local) / HOPS;
        print_line(&format!(
            "a hop adds {} between sockets of one process and {} between processes, at 1 in flight",
            milliseconds(hop(sockets)),
            milliseconds(hop(processes))
        ))?;
    }
    Ok(())
}

fn list_of_users() -> String {
    let users = (0..USERS).map(|user| {
        format!(r#"{{"username": "u{user}", "password": "p{user}", "credit": 1000000000}}"#)
    });
    format!("[{}]", users.collect::<Vec<_>>().join(","))
}

/// Measures a system. Returns the median of a warm request at 1 in flight.
async fn table(
    database: &str,
    layout: Layout,
    system: &System,
    slice: Duration,
) -> Result<Duration, Failure> {
    let load = Load::new(system.gatekeeper, USERS);
    let line = |logins: &str, in_flight: usize, measured: &[Measured]| {
        let rates = measured.iter().map(Measured::rate);
        let low = rates.clone().fold(f64::INFINITY, f64::min);
        let high = rates.fold(0.0, f64::max);
        let all = Measured::joined(measured);
        print_line(&format!(
            "{database:<12}{:<14}{logins:<8}{in_flight:>9}   {low:>6.0} to {high:<6.0}  {:>10} {:>10}",
            layout.name(),
            milliseconds(all.percentile(50)),
            milliseconds(all.percentile(99)),
        ))
    };
    line("cold", 1, &[load.first_logins(0..ONE_BY_ONE, 1).await?])?;
    let at_once = USERS - ONE_BY_ONE;
    line(
        "cold",
        at_once,
        &[load.first_logins(ONE_BY_ONE..USERS, at_once).await?],
    )?;
    // Warm-up, not measured: connections, code and caches are used for the first time.
    load.run(USERS, slice / 2).await?;
    let mut median = Duration::ZERO;
    for in_flight in [1, USERS] {
        let mut slices = Vec::new();
        for _ in 0..SLICES {
            slices.push(load.run(in_flight, slice).await?);
        }
        line("warm", in_flight, &slices)?;
        if in_flight == 1 {
            median = Measured::joined(&slices).percentile(50);
        }
    }
    Ok(median)
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn print_line(line: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}
