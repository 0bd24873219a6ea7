use std::fmt::Write as _;
use std::time::Duration;

use clap::Args as _;
use rpc_runtime::Limits;
use rpc_runtime::ServerOptions;

use super::expect;

#[test]
fn options_of_every_server() {
    let command = ServerOptions::augment_args(clap::Command::new("server"));
    let mut shown = String::new();
    for argument in command.get_arguments() {
        let name = argument.get_long().unwrap_or("-");
        let variable = argument.get_env().and_then(|name| name.to_str());
        write!(shown, "--{name} {}", variable.unwrap_or("-")).unwrap();
        let values = argument.get_value_names().unwrap_or_default();
        if argument.get_action().takes_values() {
            write!(shown, " <{}>", values.join(" ")).unwrap();
        }
        write!(shown, " {:?}", argument.get_action()).unwrap();
        if let Some(delimiter) = argument.get_value_delimiter() {
            write!(shown, " delimiter {delimiter:?}").unwrap();
        }
        let defaults = argument.get_default_values();
        if !defaults.is_empty() {
            write!(shown, " default {defaults:?}").unwrap();
        }
        let possible = argument.get_possible_values();
        let possible: Vec<_> = possible
            .iter()
            .map(clap::builder::PossibleValue::get_name)
            .collect();
        if !possible.is_empty() {
            write!(shown, " of {}", possible.join(" ")).unwrap();
        }
        let (short, required) = (argument.get_short(), argument.is_required_set());
        writeln!(shown, " short {short:?} required {required}").unwrap();
    }
    expect("options.txt", &shown);
}

#[test]
fn values_of_options() {
    let command = ServerOptions::augment_args(clap::Command::new("server"));
    let mut shown = String::new();
    for argument in [
        "--socket-mode=660",
        "--socket-mode=0",
        "--socket-mode=777",
        "--socket-mode=0660",
        "--socket-mode=1777",
        "--socket-mode=8",
        "--socket-mode=",
        "--lame-duck=0s",
        "--lame-duck=1500ms",
        "--lame-duck=5s",
        "--lame-duck=2m",
        "--lame-duck=1h",
        "--lame-duck=5",
        "--lame-duck=1.5s",
        "--lame-duck=-1s",
        "--log-format=text",
        "--log-format=json",
        "--log-format=JSON",
        "--log-format=xml",
        "--allow-faults",
        "--allow-faults=true",
        "--listen=a:1,unix:/b",
        "--flag=a=1,b=2",
        "--unknown",
    ] {
        let outcome = command.clone().try_get_matches_from(["server", argument]);
        let outcome = outcome.map_or("refused", |_| "accepted");
        writeln!(shown, "{argument} {outcome}").unwrap();
    }
    let matches = command.try_get_matches_from(["server", "--socket-mode=660", "--lame-duck=2m"]);
    let matches = matches.unwrap();
    let mode = matches.get_one::<u32>("rpc-socket-mode").unwrap();
    let lame_duck = matches.get_one::<Duration>("rpc-lame-duck").unwrap();
    writeln!(shown, "{mode:o} {lame_duck:?}").unwrap();
    expect("option_values.txt", &shown);
}

#[test]
fn default_limits() {
    let limits = Limits::default();
    let numbers = [
        ("message bytes", limits.message_bytes),
        ("header bytes", limits.header_bytes),
        ("header count", limits.header_count),
        ("path bytes", limits.path_bytes),
        ("connections", limits.connections),
        ("connections per peer", limits.connections_per_peer),
        ("running calls", limits.running_calls),
        ("queued calls", limits.queued_calls),
    ];
    let times = [
        ("first byte", limits.first_byte_timeout),
        ("header", limits.header_timeout),
        ("idle", limits.idle_timeout),
        ("body", limits.body_timeout),
        ("queue", limits.queue_timeout),
        ("default deadline", limits.default_deadline),
        ("deadline cap", limits.deadline_cap),
        ("lame duck", limits.lame_duck),
        ("drain", limits.drain_timeout),
    ];
    let mut shown = String::new();
    for (name, number) in numbers {
        writeln!(shown, "{name}: {number}").unwrap();
    }
    for (name, time) in times {
        writeln!(shown, "{name}: {} ms", time.as_millis()).unwrap();
    }
    expect("limits.txt", &shown);
}
