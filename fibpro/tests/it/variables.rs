//! Environment variables of all programs and commands: empty and invalid values.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use crate::process::{Ended, Folder, command, output};

/// Returns each program and command that is pinned, with its variables.
fn commands() -> Vec<(Vec<&'static str>, Vec<&'static str>)> {
    let mut commands: Vec<(Vec<_>, Vec<_>)> = Vec::new();
    for line in include_str!("../pinned/options.txt").lines() {
        let mut words = line.split_whitespace();
        if !line.starts_with(' ') {
            let is_name = |word: &&str| !["hidden", "listens", "aliases"].contains(word);
            commands.push((words.take_while(is_name).collect(), Vec::new()));
        } else if words.any(|word| word == "env") {
            let variables = &mut commands.last_mut().unwrap().1;
            variables.extend(words.next());
        }
    }
    commands.retain(|command| !command.1.is_empty());
    commands
}

fn program(name: &str) -> &'static str {
    match name {
        "fibpro" => env!("CARGO_BIN_EXE_fibpro"),
        "monitor" => env!("CARGO_BIN_EXE_monitor"),
        "compute_worker" => env!("CARGO_BIN_EXE_compute_worker"),
        "controller" => env!("CARGO_BIN_EXE_controller"),
        "gatekeeper" => env!("CARGO_BIN_EXE_gatekeeper"),
        "logsink" => env!("CARGO_BIN_EXE_logsink"),
        "pricing" => env!("CARGO_BIN_EXE_pricing"),
        "userstore" => env!("CARGO_BIN_EXE_userstore"),
        name => panic!("unknown program {name}"),
    }
}

#[test]
fn an_empty_variable_counts_as_unset_in_each_command() {
    let commands = commands();
    for path in [&["fibpro", "backup"][..], &["fibpro", "up"], &["userstore"]] {
        let (_, variables) = commands.iter().find(|known| known.0 == path).unwrap();
        assert!(variables.contains(&"FIBPRO_DATABASE"), "{path:?}");
    }
    for (path, variables) in commands {
        let help = |value: &str| {
            let mut command = command(program(path[0]), &path[1..]);
            command.arg("--help");
            command.envs(variables.iter().map(|name| (name, value)));
            Ended::from(output(&mut command)).stdout
        };
        let (empty, set) = (help(""), help("x"));
        for name in &variables {
            let shown = format!("[env: {name}");
            assert!(set.contains(&shown), "{path:?}: {name}: {set}");
            assert!(!empty.contains(&shown), "{path:?}: {name}: {empty}");
        }
    }
}

/// The commands that open the users' database, in a folder of their own.
fn with_database(folder: &Folder, value: &OsStr) -> Vec<Ended> {
    let copy = folder.file("copy");
    let copy = copy.to_str().unwrap();
    let commands = [
        ("fibpro", &["backup", copy][..]),
        ("fibpro", &["restore", copy]),
        ("fibpro", &["up", "--base-port", "0"]),
        ("fibpro", &["up", "--base-port", "0", "--processes"]),
        ("userstore", &["--listen", "127.0.0.1:0"]),
    ];
    let run = |(name, arguments): (&str, &[&str])| {
        let mut command: Command = command(program(name), arguments);
        command.current_dir(folder.path());
        Ended::from(output(command.env("FIBPRO_DATABASE", value)))
    };
    commands.into_iter().map(run).collect()
}

#[test]
fn an_invalid_database_names_its_variable() {
    for value in [
        &b"mysql://hunter2@db"[..],
        b"hunter2",
        b"sqlite://hunter2\xff",
    ] {
        let folder = Folder::new();
        for ended in with_database(&folder, OsStr::from_bytes(value)) {
            assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
            let named = ended.stderr.contains("--database");
            assert!(
                named && ended.stderr.contains("(FIBPRO_DATABASE)"),
                "{ended:?}"
            );
            assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
        }
    }
}
