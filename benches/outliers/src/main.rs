//! The outlier policy of a client in virtual time, compared with least in flight alone and with the
//! earlier circuit breakers.
//!
//! `cargo run --release -p bench-outliers [SEED]`, in `benches`. The policy and the simulation are
//! the sources of the runtime. The replicas of a scenario are sick from 10 s to 30 s of 45 s.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::duplicate_mod,
    reason = "not all parts of the included files are used; in tests the policy has a simulation"
)]

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use self::breaker::Breakers;
use self::outlier::{Health, Node, Outcome, choose};
use self::simulation::{LeastInFlight, Outliers, Policy, State, run, scenarios, sick};

mod breaker;
#[allow(unused_imports, reason = "the balancer uses more of it")]
#[path = "../../../rpc-runtime/src/client/outlier/mod.rs"]
mod outlier;
#[path = "../../../rpc-runtime/src/client/outlier/simulation/mod.rs"]
mod simulation;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(1), |text| text.parse())?;
    let mut out = io::stdout();
    writeln!(
        out,
        "| scenario | sick: none | breaker | policy | done: none | breaker | policy | recovery: none | breaker | policy |"
    )?;
    writeln!(out, "|{}", " --- |".repeat(10))?;
    for (name, scenario) in scenarios(Duration::from_secs(5)) {
        let mut policies: [Box<dyn Policy>; 3] = [
            Box::new(LeastInFlight::new(&scenario)),
            Box::new(Breakers::new(&scenario)),
            Box::new(Outliers::new(&scenario)),
        ];
        let reports = policies
            .each_mut()
            .map(|policy| run(&scenario, &mut **policy, seed));
        let share = reports.each_ref().map(|report| match report.fair {
            0.0 => "-".to_owned(),
            _ => format!("{:.2}", report.sick_share()),
        });
        let done = reports
            .each_ref()
            .map(|report| format!("{:.1} %", report.goodput()));
        let recovery = reports.each_ref().map(|report| match report.recovery {
            Duration::MAX => "> 15 s".to_owned(),
            recovery => format!("{:.2} s", recovery.as_secs_f64()),
        });
        let cells = [share, done, recovery].concat().join(" | ");
        writeln!(out, "| {name} | {cells} |")?;
    }
    writeln!(
        out,
        "\na choice among 10 healthy addresses and its record: {:.0} ns",
        cost()
    )?;
    Ok(())
}

/// The time that the policy takes for an attempt while nothing fails, without the readings of the
/// clock, in nanoseconds.
fn cost() -> f64 {
    const ATTEMPTS: u32 = 1_000_000;
    let scenario = sick(Duration::ZERO, 10, 0, State::Healthy);
    let mut policy = Outliers::new(&scenario);
    let start = Instant::now();
    for attempt in 0..ATTEMPTS {
        let now = Duration::from_micros(attempt.into());
        if let Some(replica) = policy.choose(0, now) {
            policy.record(0, replica, Outcome::Success, Duration::from_millis(1), now);
        }
    }
    start.elapsed().as_nanos() as f64 / f64::from(ATTEMPTS)
}
