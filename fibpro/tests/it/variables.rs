//! Environment variables of all programs and commands: empty and invalid values.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use crate::process::{Ended, Folder, command, output, program};

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

#[test]
fn an_empty_variable_counts_as_unset_in_each_command() {
    let commands = commands();
    for path in [&["fibpro", "backup"][..], &["fibpro", "up"], &["userstore"]] {
        let (_, variables) = commands.iter().find(|known| known.0 == path).unwrap();
        assert!(variables.contains(&"FIBPRO_DATABASE"), "{path:?}");
    }
    for (path, variables) in commands {
        let help = |value: &str| {
            let mut command = command(&program(path[0]), &path[1..]);
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
        let mut command: Command = command(&program(name), arguments);
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

#[test]
fn a_refused_value_names_its_option_or_variable() {
    let folder = Folder::new();
    for (program_name, arguments, variable, value, named) in [
        (
            "gatekeeper",
            &["--listen", "127.0.0.1:0"][..],
            "FIBPRO_OPERATOR",
            &b"*:80"[..],
            "--operator (FIBPRO_OPERATOR)",
        ),
        (
            "gatekeeper",
            &["--listen", "127.0.0.1:0"],
            "FIBPRO_OPERATOR",
            b"a\xff",
            "(FIBPRO_OPERATOR)",
        ),
        ("pricing", &[], "RPC_LISTEN", b"a\xff", "(RPC_LISTEN)"),
        (
            "monitor",
            &[],
            "FIBPRO_ENDPOINT_PRICING",
            b"x",
            "FIBPRO_ENDPOINT_PRICING",
        ),
        (
            "fibpro",
            &["monitor"],
            "FIBPRO_ENDPOINT_USERSTORE",
            b"a\xff",
            "FIBPRO_ENDPOINT_USERSTORE",
        ),
        (
            "fibpro",
            &["status", "--to", "http://127.0.0.1:1"],
            "RPC_IDENTITY_KEY_FILE",
            b"/nonexistent",
            "--identity-key-file (RPC_IDENTITY_KEY_FILE)",
        ),
        (
            "monitor",
            &[],
            "RPC_IDENTITY_KEY_FILE",
            b"/nonexistent",
            "--identity-key-file (RPC_IDENTITY_KEY_FILE)",
        ),
        (
            "fibpro",
            &["logs"],
            "FIBPRO_LOGSINK",
            b"x",
            "(FIBPRO_LOGSINK)",
        ),
        (
            "compute_worker",
            &[],
            "FIBPRO_LARGEST_N",
            b"1e6",
            "(FIBPRO_LARGEST_N)",
        ),
    ] {
        let mut command = command(&program(program_name), arguments);
        command.current_dir(folder.path());
        let ended = Ended::from(output(command.env(variable, OsStr::from_bytes(value))));
        assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
        assert!(
            ended.stderr.contains(named),
            "{program_name} {variable}: {ended:?}"
        );
        assert!(
            ended.stderr.matches("No such file").count() <= 1,
            "{ended:?}"
        );
        let has_code = ended.stderr.contains("': invalid_argument: ");
        assert!(!has_code, "{program_name} {variable}: {ended:?}");
    }
}

#[test]
fn a_refused_argument_names_its_option() {
    let folder = Folder::new();
    for (program_name, option, value, texts) in [
        (
            "pricing",
            "--listen",
            &b"\xff"[..],
            &["--listen", "not valid UTF-8"][..],
        ),
        (
            "gatekeeper",
            "--operator",
            b"\xff",
            &["--operator", "not valid UTF-8"],
        ),
        (
            "compute_worker",
            "--largest-n",
            b"1e6",
            &["--largest-n", "expected a whole number from 0 to 20000000"],
        ),
        (
            "logsink",
            "--store-bytes",
            b"64 MiB",
            &["--store-bytes", "such as `64MiB`"],
        ),
        (
            "monitor",
            "--timeout",
            b"1e30",
            &["--timeout", "up to 1.8e19"],
        ),
    ] {
        let mut command = command(&program(program_name), &[option]);
        command
            .current_dir(folder.path())
            .arg(OsStr::from_bytes(value));
        let ended = Ended::from(output(&mut command));
        assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
        for text in texts {
            assert!(ended.stderr.contains(text), "{option}: {ended:?}");
        }
    }
}
