//! Names of options, environment variables and values, which scripts hold. The expectation is
//! `tests/pinned/options.txt`: what is new is added to it, and nothing in it is changed or removed.
//! Help texts are free.

use std::fmt::Write as _;

use clap::builder::PossibleValue;
use clap::{Arg, Command, CommandFactory as _};
use fibpro::serve;

#[test]
fn options_are_as_pinned() {
    let mut table = String::new();
    for (name, command) in [
        ("fibpro", crate::Cli::command()),
        ("monitor", super::monitor::MonitorOptions::command()),
        (
            "compute_worker",
            serve::compute_worker::ComputeWorkerOptions::command(),
        ),
        (
            "controller",
            serve::controller::ControllerOptions::command(),
        ),
        (
            "gatekeeper",
            serve::gatekeeper::GatekeeperOptions::command(),
        ),
        ("logsink", serve::logsink::LogSinkOptions::command()),
        ("pricing", serve::pricing::PricingOptions::command()),
        ("userstore", serve::userstore::UserStoreOptions::command()),
    ] {
        let mut command = command;
        command.build();
        describe(name, &command, &mut table);
    }
    let expected = include_str!("../../tests/pinned/options.txt");
    let mut lines = (1..).zip(expected.lines().zip(table.lines()));
    let differs = lines.find(|(_, (expected, actual))| expected != actual);
    assert!(
        expected == table,
        "options.txt differs at {differs:?}; now it is\n-----\n{table}-----"
    );
}

fn describe(path: &str, command: &Command, table: &mut String) {
    let hidden = if command.is_hide_set() { " hidden" } else { "" };
    let aliases: Vec<_> = command.get_all_aliases().collect();
    let about = command.get_about().map(ToString::to_string);
    let about = about.unwrap_or_default();
    let address = about.split(' ').find(|word| word.starts_with("127.0.0.1:"));
    let address = address.map_or_else(String::new, |address| format!(" listens on {address}"));
    writeln!(table, "{path}{hidden}{address} aliases {aliases:?}").unwrap();
    let mut lines: Vec<_> = command.get_arguments().map(argument).collect();
    lines.sort();
    for line in lines {
        writeln!(table, "    {line}").unwrap();
    }
    for subcommand in command.get_subcommands() {
        // The help of clap, which lists each command once more.
        if subcommand.get_name() != "help" {
            let path = format!("{path} {}", subcommand.get_name());
            describe(&path, subcommand, table);
        }
    }
}

fn argument(argument: &Arg) -> String {
    let mut line = match (argument.get_long(), argument.get_index()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some(index)) => format!("<{index}>"),
        (None, None) => argument.get_id().to_string(),
    };
    let mut add = |text: String| {
        line.push(' ');
        line.push_str(&text);
    };
    if let Some(short) = argument.get_short() {
        add(format!("-{short}"));
    }
    for alias in argument.get_all_aliases().unwrap_or_default() {
        add(format!("alias --{alias}"));
    }
    if argument.get_action().takes_values() {
        let names = argument.get_value_names().unwrap_or_default();
        add(names.join(" "));
        if let Some(count) = argument.get_num_args() {
            add(format!("values {count}"));
        }
    }
    add(format!("{:?}", argument.get_action()));
    let values: Vec<_> = argument
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    if !values.is_empty() {
        add(format!("default {values:?}"));
    }
    if let Some(variable) = argument.get_env() {
        add(format!("env {}", variable.to_string_lossy()));
    }
    let possible = argument.get_possible_values();
    if argument.get_action().takes_values() && !possible.is_empty() {
        let names: Vec<_> = possible
            .iter()
            .flat_map(PossibleValue::get_name_and_aliases)
            .collect();
        add(format!("possible {names:?}"));
    }
    if argument.is_required_set() {
        add("required".to_owned());
    }
    if argument.is_hide_set() {
        add("hidden".to_owned());
    }
    line
}
