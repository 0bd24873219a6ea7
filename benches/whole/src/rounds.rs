//! Starts the processes, round by round.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use crate::contestant::{Contestant, Work};
use crate::load::Sample;
use crate::report::Report;
use crate::{Plan, Result};

/// What is measured in each round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) work: Work,
    pub(crate) in_flight: usize,
    pub(crate) contestant: Contestant,
}

/// Measures, and prints the table.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let mut report = Report::new(cells(plan), plan.base);
    for round in 0..plan.rounds {
        // Interleaved, so that a slow minute of the machine is everybody's, and in turn first.
        for index in report.order(round as usize) {
            let cell = report.cell(index);
            let sample =
                measure(cell, plan.seconds).map_err(|error| format!("{cell:?}: {error}"))?;
            report.add(index, sample);
        }
        writeln!(std::io::stderr(), "round {} of {}", round + 1, plan.rounds)?;
    }
    if let Some(path) = &plan.json {
        std::fs::write(path, report.json()?)?;
    }
    write!(std::io::stdout(), "{}", report.table())?;
    Ok(())
}

fn cells(plan: &Plan) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &work in &plan.work {
        for &in_flight in &plan.in_flight {
            for &contestant in &plan.only {
                // In process nothing waits, so that more calls at one time only show the scheduler of tokio.
                if contestant != Contestant::Local || in_flight == 1 {
                    cells.push(Cell {
                        work,
                        in_flight,
                        contestant,
                    });
                }
            }
        }
    }
    cells
}

/// One measurement, with processes of its own.
fn measure(cell: Cell, seconds: f64) -> Result<Sample> {
    let mut client = process()?;
    client
        .args(["call", &cell.contestant.to_string(), &cell.work.to_string()])
        .args([cell.in_flight.to_string(), seconds.to_string()])
        .stdin(Stdio::null());
    let server = if cell.contestant == Contestant::Local {
        None
    } else {
        Some(Server::start(cell.contestant)?)
    };
    if let Some(server) = &server {
        client.args([
            "--address",
            &server.address,
            "--server",
            &server.process.id().to_string(),
        ]);
    }
    let output = client.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("the client ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn process() -> Result<Command> {
    Ok(Command::new(std::env::current_exe()?))
}

/// A server in a process of its own, which ends when this is dropped.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(contestant: Contestant) -> Result<Self> {
        let mut process = process()?
            .args(["serve", &contestant.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut address)?;
        }
        let address = address.trim().to_owned();
        Ok(Self { process, address })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It fails only where the process has ended by itself, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
