//! `fibpro up --processes` stops although a service does not.

use std::net::TcpListener;

use crate::process::{Folder, prepared, signal_id, start};
use crate::up::{SERVICES, Up, is_there, until, up_in};

/// Stops these services (SIGSTOP), then tells `up` to stop; returns its stderr.
fn stop_with(hung: &[&str], while_stopped: impl FnOnce(&Up)) -> String {
    let up = Up::start(&["--processes", "--stop-timeout", "10"]);
    let ids = SERVICES.map(|service| up.id(service));
    let urls = SERVICES.map(|service| up.url(service).to_owned());
    for service in hung {
        signal_id("-STOP", up.id(service));
    }
    while_stopped(&up);
    let (ended, _folder) = up.stop();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(!ids.into_iter().any(is_there), "{ended:?}");
    for url in urls {
        let address = url.strip_prefix("http://").unwrap();
        drop(TcpListener::bind(address).expect(address));
    }
    for service in SERVICES {
        let killed = format!("{service} did not stop within 10s and was killed");
        // Once when it happens, and once in the error of the command.
        let expected = 2 * usize::from(hung.contains(&service));
        assert_eq!(
            ended.stderr.matches(&killed).count(),
            expected,
            "{}",
            ended.stderr
        );
    }
    ended.stderr
}

#[test]
fn a_hung_service_is_killed_and_the_others_stop() {
    let stderr = stop_with(&["pricing"], |_| {});
    let last = "error: pricing did not stop within 10s and was killed\n";
    assert!(stderr.ends_with(last), "{stderr}");
}

#[test]
fn each_hung_service_has_its_own_time() {
    let stderr = stop_with(&["userstore", "controller"], |_| {});
    // In the order of the stop.
    let places =
        ["controller did not stop", "userstore did not stop"].map(|text| stderr.find(text));
    assert!(places.is_sorted(), "{stderr}");
}

#[test]
fn ignored_signals_of_the_parent_do_not_stop() {
    for mode in [&[][..], &["--processes"]] {
        let folder = Folder::new();
        let program = rpc_tests::signals::ignoring(env!("CARGO_BIN_EXE_fibpro"));
        let mut command = prepared(program, &["up", "--base-port", "0"]);
        command
            .arg("--data-dir")
            .arg(folder.file("data"))
            .args(mode);
        let mut process = start(&mut command);
        process.wait_for_stdout("Ctrl-C stops all").unwrap();
        for signal in ["-HUP", "-INT", "-HUP"] {
            signal_id(signal, process.id());
        }
        process.terminate().unwrap();
        let ended = process.wait().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert!(ended.stderr.contains("SIGTERM: stopping"), "{ended:?}");
        assert!(!ended.stderr.contains("SIGHUP"), "{ended:?}");
        assert!(!ended.stderr.contains("SIGINT"), "{ended:?}");
    }
}

/// Tells `up` to stop as soon as this file is there, which is before it is up.
fn stop_when_there_is(file: &str, mode: &[&str]) {
    let folder = Folder::new();
    let data = folder.file("data");
    let mut process = start(&mut up_in(&data, mode));
    let there = data.join(file);
    // Without a pause between two looks, since the start is short.
    while !there.exists() && process.is_running().unwrap() {
        std::thread::yield_now();
    }
    process.terminate().unwrap();
    let ended = process.wait().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let left: Vec<_> = std::fs::read_dir(&data)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            ["-wal", "-shm", "-journal"]
                .iter()
                .any(|end| name.ends_with(end))
        })
        .collect();
    assert!(left.is_empty(), "{file} {mode:?}: {left:?} {ended:?}");
    // Each main file has its tables.
    for database in ["users.sqlite", "logs.sqlite"] {
        let length = std::fs::metadata(data.join(database)).map(|found| found.len());
        assert!(!length.is_ok_and(|length| length == 0), "{database}");
    }
}

#[test]
fn a_stop_during_the_start_closes_what_is_open() {
    for mode in [&[][..], &["--processes"]] {
        for file in [
            "logs.sqlite",
            "logs.sqlite-wal",
            "users.sqlite",
            "users.sqlite-wal",
        ] {
            stop_when_there_is(file, mode);
        }
    }
}

#[test]
fn a_second_signal_does_not_wait_for_a_hung_service() {
    let mut up = Up::start(&["--processes"]);
    signal_id("-STOP", up.id("gatekeeper"));
    up.process.terminate().unwrap();
    up.process.wait_for_stderr("SIGTERM: stopping").unwrap();
    let ids = SERVICES.map(|service| up.id(service));
    let mut ended = None;
    until("it ends", || {
        // A signal within a second of the first one is a repeat of it.
        if up.process.is_running().unwrap() {
            up.process.terminate().unwrap();
            return false;
        }
        ended = Some(up.process.wait().unwrap());
        true
    });
    let ended = ended.unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let text = "error: ended by a second SIGTERM before all calls were done\n";
    assert!(ended.stderr.ends_with(text), "{ended:?}");
    assert!(!ids.into_iter().any(is_there));
}
