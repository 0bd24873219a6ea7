//! `fibpro up --processes` stops although a service does not.

use std::net::TcpListener;

use crate::process::signal_id;
use crate::up::{SERVICES, Up, is_there, until};

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
        let killed = format!("{service} did not stop within 10s and was killed\n");
        // Once when it happens, and the first one as the error of the command.
        let first = hung.last() == Some(&service);
        let expected = usize::from(hung.contains(&service)) + usize::from(first);
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
