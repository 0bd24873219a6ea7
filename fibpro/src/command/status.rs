//! `fibpro status`: what a server says of itself.

use std::io::{self, Write};
use std::time::Duration;

use rpc_runtime::Client;
use rpc_runtime::status::{MethodStatus, ServerStatus, StatusClient};

use super::Failure;

/// Show a server's version, uptime and the numbers of its methods
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where the server listens for other services: an `http` or a `unix` URL
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9002", value_parser = Client::new)]
    to: Client,
}

pub(crate) async fn run(options: Options, out: &mut impl Write) -> Result<(), Failure> {
    let client = StatusClient::with_client(options.to.named("fibpro")?);
    let status = client.get().await?;
    write_status(&status, out).map_err(Failure::Output)
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
    writeln!(
        out,
        "{server}@{environment}/{instance}   version {version}, rpc-runtime {runtime_version}   up {}\n",
        uptime_text(*uptime)
    )?;
    let head = ["REQUESTS", "IN FLIGHT", "FAILED", "P50", "P90", "P99"].map(str::to_owned);
    let names = status.methods.iter().map(|method| method.name.len());
    let width = names.max().unwrap_or_default().max("METHOD".len());
    write_row("METHOD", &head, width, out)?;
    for method in &status.methods {
        write_row(&method.name, &cells(method), width, out)?;
        for (code, count) in &method.errors {
            writeln!(out, "  {count} {code}")?;
        }
    }
    Ok(())
}

fn cells(method: &MethodStatus) -> [String; 6] {
    let time = |microseconds: Option<u64>| microseconds.map_or_else(|| "-".to_owned(), time_text);
    [
        method.requests.to_string(),
        method.in_flight.to_string(),
        method.failed().to_string(),
        time(method.p50_us),
        time(method.p90_us),
        time(method.p99_us),
    ]
}

fn write_row(
    name: &str,
    cells: &[String; 6],
    width: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    write!(out, "{name:width$}")?;
    for cell in cells {
        write!(out, "  {cell:>9}")?;
    }
    writeln!(out)
}

/// Three digits and a unit, such as `1.52 ms`.
fn time_text(microseconds: u64) -> String {
    let (unit, scale) = match microseconds {
        0..1000 => return format!("{microseconds} µs"),
        1000..1_000_000 => ("ms", 1000),
        _ => ("s", 1_000_000),
    };
    let (whole, rest) = (microseconds / scale, microseconds % scale * 1000 / scale);
    match whole {
        0..10 => format!("{whole}.{:02} {unit}", rest / 10),
        10..100 => format!("{whole}.{} {unit}", rest / 100),
        _ => format!("{whole} {unit}"),
    }
}

/// The two largest units, such as `3 h 12 min`.
fn uptime_text(uptime: Duration) -> String {
    let seconds = uptime.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        for (microseconds, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1000, "1.00 ms"),
            (1529, "1.52 ms"),
            (15_290, "15.2 ms"),
            (152_900, "152 ms"),
            (1_009_000, "1.00 s"),
            (4_294_967_295, "4294 s"),
        ] {
            assert_eq!(time_text(microseconds), text);
        }
        for (seconds, text) in [
            (59, "59 s"),
            (61, "1 min 1 s"),
            (11_520, "3 h 12 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(uptime_text(Duration::from_secs(seconds)), text);
        }
    }
}
