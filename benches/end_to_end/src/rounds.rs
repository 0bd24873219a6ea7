//! Rounds of measurements, each in its own processes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::candidate::{Candidate, Work};
use crate::load::Sample;
use crate::report::Report;
use crate::tls::TemporaryCertificate;
use crate::{Result, RunPlan};

/// One measurement of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) work: Work,
    pub(crate) in_flight: usize,
    pub(crate) candidate: Candidate,
}

/// Measures and prints the table.
pub(crate) fn run(plan: &RunPlan) -> Result<()> {
    let mut report = Report::new(cells(plan), plan.base);
    let certificate = TemporaryCertificate::create()?;
    let folder = certificate.folder();
    for round in 0..plan.rounds {
        // Interleaved and rotated, so that a slow minute of the machine affects all candidates.
        for index in report.order(round as usize) {
            let cell = report.cell(index);
            let sample = measure(cell, plan.seconds, folder)
                .map_err(|error| format!("{cell:?}: {error}"))?;
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

fn cells(plan: &RunPlan) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &work in &plan.work {
        for &in_flight in &plan.in_flight {
            for &candidate in &plan.only {
                // In process no call waits, so more concurrency would only measure tokio's
                // scheduler.
                if candidate != Candidate::Local || in_flight == 1 {
                    cells.push(Cell {
                        work,
                        in_flight,
                        candidate,
                    });
                }
            }
        }
    }
    cells
}

/// Measures one cell in new processes.
fn measure(cell: Cell, seconds: f64, certificate: &Path) -> Result<Sample> {
    let mut client = process("call", cell.candidate, certificate)?;
    client
        .arg(cell.work.to_string())
        .args([cell.in_flight.to_string(), seconds.to_string()])
        .stdin(Stdio::null());
    let server = if cell.candidate == Candidate::Local {
        None
    } else {
        Some(Server::start(cell.candidate, certificate)?)
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

fn process(kind: &str, candidate: Candidate, certificate: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(kind);
    command.arg("--certificate").arg(certificate);
    command.arg(candidate.to_string());
    Ok(command)
}

/// A server in a separate process, which is killed on drop.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(candidate: Candidate, certificate: &Path) -> Result<Self> {
        let mut process = process("serve", candidate, certificate)?
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
        // Fails only when the process has already exited.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
