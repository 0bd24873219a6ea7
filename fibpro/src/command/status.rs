//! `fibpro status`: shows the status of a server.

use std::collections::BTreeMap;
use std::io::{self, Write};

use fibpro::terminal::{self, one_line};
use fibpro::tool::format::{time_text, uptime_text};
use rpc_runtime::status::{ConnectionStatus, MethodStatus, ServerStatus, StatusClient};

use super::CommandError;
use super::target::ServerTarget;

/// Show a server's version and uptime, and the statistics of its methods and its outgoing calls
#[derive(Debug, clap::Args)]
pub(crate) struct StatusOptions {
    #[command(flatten)]
    server: ServerTarget,
    /// Print a JSON object, for programs
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(options: StatusOptions, out: &mut impl Write) -> Result<(), CommandError> {
    let client = StatusClient::with_client(options.server.client()?);
    let status = client.get().await?;
    let written = if options.json {
        write_json(&status, out)
    } else {
        write_status(&status, out)
    };
    written.map_err(CommandError::Output)
}

fn write_json(status: &ServerStatus, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", terminal::json_pretty(status)?)
}

fn write_status(status: &ServerStatus, out: &mut impl Write) -> io::Result<()> {
    let ServerStatus {
        server,
        environment,
        instance,
        version,
        runtime_version,
        uptime,
        ..
    } = status;
    let [server, environment, instance, version, runtime_version] =
        [server, environment, instance, version, runtime_version].map(|text| one_line(text));
    writeln!(
        out,
        "{server}@{environment}/{instance}   version {version}, rpc-runtime {runtime_version}   up {}",
        uptime_text(*uptime)
    )?;
    match status.logs_dropped {
        None | Some(0) => {}
        Some(1) => writeln!(out, "1 record of its log was dropped")?,
        Some(count) => writeln!(out, "{count} records of its log were dropped")?,
    }
    for (count, text) in connections(&status.connections) {
        writeln!(out, "{count} {text}")?;
    }
    let names = status.methods.iter().map(|method| &method.name);
    let names = names.chain(status.outgoing.iter().map(|method| &method.name));
    let width = names.map(|name| one_line(name).chars().count());
    let width = width.max().unwrap_or_default();
    let mut table = Table {
        width: width.max("METHOD".len()),
        out,
    };
    table.head("METHOD", "REQUESTS")?;
    for method in &status.methods {
        let failed = [method.server_errors(), method.refused];
        let numbers = [method.requests, method.in_flight, failed[0], failed[1]];
        let times = [method.p50_us, method.p90_us, method.p99_us];
        table.row(&method.name, cells(numbers, times))?;
        table.notes(&method.errors, &notes(method))?;
    }
    if !status.outgoing.is_empty() {
        table.head("CALLS", "CALLS")?;
    }
    for method in &status.outgoing {
        let failed = [method.server_errors(), method.refused];
        let numbers = [method.calls, method.in_flight, failed[0], failed[1]];
        let times = [method.p50_us, method.p90_us, method.p99_us];
        table.row(&method.name, cells(numbers, times))?;
        let retries = (method.retries, "retried");
        table.notes(&method.errors, &[retries])?;
    }
    Ok(())
}

/// Returns the numbers of connections that are not zero.
fn connections(connections: &ConnectionStatus) -> impl Iterator<Item = (u64, &'static str)> {
    let numbers = [
        (
            connections.over_limit,
            "connections refused: over the limit of their peer",
        ),
        (
            connections.unanswered,
            "refused connections closed without a response",
        ),
        (
            connections.untaken,
            "connections ended: their peer did not take a response",
        ),
    ];
    numbers.into_iter().filter(|number| number.0 > 0)
}

/// Returns the statistics of a method that are shown only if they are not zero.
fn notes(method: &MethodStatus) -> [(u64, &'static str); 3] {
    [
        (method.shed, "rejected: the server was overloaded"),
        (method.rate_limited, "rejected: over the rate limit"),
        (method.repeats, "repeats of an earlier attempt"),
    ]
}

fn cells(numbers: [u64; 4], microseconds: [Option<u64>; 3]) -> [String; 7] {
    let [calls, in_flight, errors, refused] = numbers.map(|number| number.to_string());
    let time = |microseconds: Option<u64>| microseconds.map_or_else(|| "-".to_owned(), time_text);
    let [p50, p90, p99] = microseconds.map(time);
    [calls, in_flight, errors, refused, p50, p90, p99]
}

/// A table with a name and numbers in each row.
///
/// Not shared with the table of `fibpro monitor`, whose columns are as wide as their cells; here
/// all numbers have one width, and notes follow a row.
struct Table<'o, W> {
    /// Width of the name column.
    width: usize,
    out: &'o mut W,
}

impl<W: Write> Table<'_, W> {
    /// Writes an empty line and the heads of the columns. The first number is one of calls.
    fn head(&mut self, name: &str, count: &str) -> io::Result<()> {
        let cells = [count, "IN FLIGHT", "ERRORS", "REFUSED", "P50", "P90", "P99"];
        writeln!(self.out)?;
        self.row(name, cells.map(str::to_owned))
    }

    fn row(&mut self, name: &str, cells: [String; 7]) -> io::Result<()> {
        let name = one_line(name);
        write!(self.out, "{name:width$}", width = self.width)?;
        for cell in cells {
            write!(self.out, "  {cell:>9}")?;
        }
        writeln!(self.out)
    }

    /// Writes the additional statistics of a row below it.
    fn notes(&mut self, errors: &BTreeMap<String, u64>, notes: &[(u64, &str)]) -> io::Result<()> {
        for (code, count) in errors {
            writeln!(self.out, "  {count} {}", one_line(code))?;
        }
        for (count, note) in notes.iter().filter(|note| note.0 > 0) {
            writeln!(self.out, "  {count} {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_none_of_takes_no_line() {
        let status = |retries, dropped| {
            let numbers = serde_json::json!({"p50_us": 1500, "p90_us": 1500, "p99_us": null});
            let with = |own: serde_json::Value| {
                let mut row = numbers.clone();
                let (row_map, own) = (row.as_object_mut().unwrap(), own.as_object().unwrap());
                row_map.extend(own.clone());
                row
            };
            let status = serde_json::json!({
                "server": "a", "environment": "dev", "instance": "1", "version": "2",
                "runtime_version": "3", "uptime": "1.500s", "logs_dropped": dropped,
                "connections": {"over_limit": retries, "unanswered": 0, "untaken": retries},
                "methods": [with(serde_json::json!({
                    "name": "a.B/C", "requests": 9, "in_flight": 1, "errors": {"unavailable": 2, "aborted": 1},
                    "refused": 1,
                    "shed": 2, "repeats": retries,
                }))],
                "outgoing": [with(serde_json::json!({
                    "name": "d.E/F", "calls": 4, "in_flight": 0, "errors": {},
                    "attempts": 4 + retries, "retries": retries,
                }))],
            });
            let mut text = Vec::new();
            write_status(&serde_json::from_value(status).unwrap(), &mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(
            status(3, Some(7)),
            "a@dev/1   version 2, rpc-runtime 3   up 1 s\n\
             7 records of its log were dropped\n\
             3 connections refused: over the limit of their peer\n\
             3 connections ended: their peer did not take a response\n\n\
             METHOD   REQUESTS  IN FLIGHT     ERRORS    REFUSED        P50        P90        P99\n\
             a.B/C           9          1          2          1    1.50 ms    1.50 ms          -\n\
             \x20 1 aborted\n\
             \x20 2 unavailable\n\
             \x20 2 rejected: the server was overloaded\n\
             \x20 3 repeats of an earlier attempt\n\n\
             CALLS       CALLS  IN FLIGHT     ERRORS    REFUSED        P50        P90        P99\n\
             d.E/F           4          0          0          0    1.50 ms    1.50 ms          -\n\
             \x20 3 retried\n"
        );
        let calm = status(0, None);
        assert!(
            !calm.contains("retried") && !calm.contains("repeats") && !calm.contains("dropped")
        );
    }
}
