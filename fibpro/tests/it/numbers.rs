//! Options that are numbers, at 0, 1 and the largest value: refused by name, or used. Addresses of
//! the gatekeeper.

use crate::process::{Ended, Folder, command, output, program, start};

const U64: &str = "18446744073709551615";

/// Runs a program that does not start a server.
fn run(arguments: &[&str]) -> Ended {
    let mut command = command(&program(arguments[0]), &arguments[1..]);
    Ended::from(output(&mut command))
}

#[test]
fn a_number_that_is_out_of_range_names_its_option() {
    for (arguments, option, values) in [
        (&["fibpro", "up"][..], "--base-port", &["65525", U64][..]),
        (&["fibpro", "up"], "--stop-timeout", &["0", U64]),
        (&["fibpro", "chaos"], "--buyers", &["0", "65535"]),
        (&["fibpro", "chaos"], "--minutes", &["0", U64]),
        (&["fibpro", "logs"], "--limit", &["0", "4294967295"]),
        (&["fibpro", "monitor"], "--timeout", &["0", "1e300"]),
        (&["monitor"], "--watch", &["0", "inf"]),
        (&["compute_worker"], "--largest-n", &[U64]),
        (&["gatekeeper"], "--largest-n", &["20000001"]),
        (
            &["logsink"],
            "--store-bytes",
            &["0", "1", U64, "8589934592GiB"],
        ),
        (&["logsink"], "--socket-mode", &["1777", "37777777777"]),
        (&["logsink"], "--lame-duck", &["0", "18446744073709551616s"]),
    ] {
        for value in values {
            let given = format!("{option}={value}");
            let ended = run(&[arguments, &[&given]].concat());
            assert_eq!(ended.code, Some(2), "{given}: {ended:?}");
            assert!(ended.stderr.contains(option), "{given}: {ended:?}");
        }
    }
}

#[test]
fn the_smallest_and_largest_numbers_are_used() {
    // Nothing listens there, so each ends with its report.
    let nowhere = "logsink=http://127.0.0.1:1";
    for value in ["1e-9", "1", "18446744073709549568"] {
        let ended = run(&["monitor", "--endpoint", nowhere, "--timeout", value]);
        assert_eq!(ended.code, Some(1), "{value}: {ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    }
    for limit in ["1", "10000"] {
        let ended = run(&[
            "fibpro",
            "logs",
            "--to",
            "http://127.0.0.1:1",
            "--limit",
            limit,
        ]);
        assert_eq!(ended.code, Some(1), "{limit}: {ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    }
    for (name, option, value) in [
        ("compute_worker", "--largest-n", "0"),
        ("compute_worker", "--largest-n", "20000000"),
        ("gatekeeper", "--largest-n", "1"),
        ("logsink", "--store-bytes", "16MiB"),
        ("logsink", "--store-bytes", "9223372036854775807"),
    ] {
        let folder = Folder::new();
        let listen = ["--listen", "127.0.0.1:0", option, value];
        let mut command = command(&program(name), &listen);
        if name == "logsink" {
            command.arg("--store").arg(folder.file("logs.sqlite"));
        }
        let mut process = start(&mut command);
        process.wait_for_stdout("listening on").unwrap();
        process.terminate().unwrap();
        let ended = process.wait().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{option} {value}: {ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    }
}

#[test]
fn an_address_of_the_gatekeeper_names_its_option() {
    let listen = "--listen (RPC_LISTEN): ";
    let edge = "--listen-edge (RPC_LISTEN_EDGE): ";
    let operator = "--operator (FIBPRO_OPERATOR): ";
    for (arguments, variables, option) in [
        (&["--listen=http://127.0.0.1:80"][..], &[][..], listen),
        (&[], &[("RPC_LISTEN", "*:80")], listen),
        (&["--listen=127.0.0.1:0", "--listen-edge=8080"], &[], edge),
        (&[], &[("RPC_LISTEN_EDGE", "localhost")], edge),
        (&["--listen=127.0.0.1:0", "--operator=*:80"], &[], operator),
        (
            &["--listen=127.0.0.1:0"],
            &[("FIBPRO_OPERATOR", "127.0.0.1:99999")],
            operator,
        ),
    ] {
        let mut command = command(env!("CARGO_BIN_EXE_gatekeeper"), arguments);
        let ended = Ended::from(output(command.envs(variables.iter().copied())));
        assert_eq!(ended.code, Some(1), "{option}: {ended:?}");
        assert!(ended.stderr.contains(option), "{option}: {ended:?}");
    }
}
