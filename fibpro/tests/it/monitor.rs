//! The monitor: a failing service does not hide the others.

use rpc_runtime::testing::{NetworkFault, Proxy};
use serde_json::Value;

use crate::process::{Ended, RunningCommand, command, output};
use crate::up::Up;

fn monitor(up: &Up, arguments: &[&str]) -> Ended {
    monitor_at(up, &up.endpoints(), arguments)
}

fn monitor_at(up: &Up, endpoints: &[String], arguments: &[&str]) -> Ended {
    let key = up.key();
    let mut command = command(env!("CARGO_BIN_EXE_monitor"), arguments);
    command.args(endpoints).args(["--identity-key-file", &key]);
    output(&mut command).into()
}

/// Returns the endpoints with the address of one service replaced.
fn moved(up: &Up, service: &str, url: &str) -> Vec<String> {
    let begin = format!("--endpoint={service}=");
    let endpoints = up.endpoints().into_iter();
    let moved = endpoints.map(|endpoint| match endpoint.starts_with(&begin) {
        true => format!("{begin}{url}"),
        false => endpoint,
    });
    moved.collect()
}

fn row<'a>(ended: &'a Ended, service: &str) -> &'a str {
    let mut lines = ended.stdout.lines();
    lines
        .find(|line| line.starts_with(service))
        .expect(&ended.stdout)
}

#[test]
fn all_are_up_and_the_exit_code_says_so() {
    let up = Up::start(&[]);
    let seen = monitor(&up, &[]);
    assert_eq!(seen.code, Some(0), "{seen:?}");
    assert_eq!(seen.stdout.lines().count(), 7, "{seen:?}");
    for service in [
        "logsink",
        "userstore",
        "pricing",
        "compute_worker",
        "controller",
    ] {
        let row = row(&seen, service);
        assert!(row.contains("  up "), "{row}");
        assert!(row.ends_with(up.url(service)), "{row}");
    }
    assert!(row(&seen, "gatekeeper").contains(env!("CARGO_PKG_VERSION")));
    let seen = monitor(&up, &["--json"]);
    assert_eq!(seen.code, Some(0), "{seen:?}");
    let services: Value = serde_json::from_str(&seen.stdout).unwrap();
    assert_eq!(services.as_array().unwrap().len(), 6);
    for service in services.as_array().unwrap() {
        assert_eq!(service["up"], true, "{service}");
        assert_eq!(service["environment"], "prod", "{service}");
        // Servers that export logs count dropped records; the log sink exports none.
        let dropped = match service["service"].as_str() {
            Some("logsink") => Value::Null,
            _ => 0.into(),
        };
        assert_eq!(service["logs_dropped"], dropped, "{service}");
    }
}

#[test]
fn h02_a_down_service_is_shown_with_its_reason() {
    let up = Up::start(&[]);
    let endpoints = moved(&up, "pricing", "http://127.0.0.1:1");
    let seen = monitor_at(&up, &endpoints, &[]);
    assert_eq!(seen.code, Some(1), "{seen:?}");
    assert!(row(&seen, "pricing  ").contains(" DOWN "), "{seen:?}");
    let why = "pricing is down: unavailable: cannot connect to http://127.0.0.1:1";
    assert!(seen.stdout.contains(why), "{seen:?}");
    for service in [
        "logsink",
        "userstore",
        "compute_worker",
        "controller",
        "gatekeeper",
    ] {
        assert!(row(&seen, service).contains("  up "), "{seen:?}");
    }
    let seen = monitor_at(&up, &endpoints, &["--json"]);
    assert_eq!(seen.code, Some(1), "{seen:?}");
    let services: Value = serde_json::from_str(&seen.stdout).unwrap();
    let down: Vec<_> = services
        .as_array()
        .unwrap()
        .iter()
        .filter(|service| service["up"] == false)
        .collect();
    assert_eq!(down.len(), 1);
    assert_eq!(down[0]["service"], "pricing");
    assert_eq!(down[0]["error"]["code"], "unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn h02_a_silent_service_costs_only_its_timeout() {
    let up = Up::start(&[]);
    let upstream = up.url("controller").strip_prefix("http://").unwrap();
    let proxy = Proxy::start(upstream.parse().unwrap()).await.unwrap();
    proxy.set(NetworkFault::BlackHole);
    let endpoints = moved(&up, "controller", &proxy.url());
    let seen = tokio::task::spawn_blocking(move || {
        let seen = monitor_at(&up, &endpoints, &["--timeout", "1"]);
        (seen, up)
    });
    let (seen, _up) = seen.await.unwrap();
    assert_eq!(seen.code, Some(1), "{seen:?}");
    assert!(row(&seen, "controller  ").contains(" DOWN "), "{seen:?}");
    assert!(
        seen.stdout
            .contains("controller is down: deadline_exceeded: "),
        "{seen:?}"
    );
    for service in [
        "logsink",
        "userstore",
        "pricing",
        "compute_worker",
        "gatekeeper",
    ] {
        assert!(row(&seen, service).contains("  up "), "{seen:?}");
    }
}

#[test]
fn watch_sees_a_process_stop_and_ends_on_ctrl_c() {
    let up = Up::start(&["--processes"]);
    let key = up.key();
    let endpoints = up.endpoints();
    let fixed = [
        "monitor",
        "--watch",
        "0.1",
        "--timeout",
        "1",
        "--json",
        "--identity-key-file",
        &key,
    ];
    let arguments: Vec<_> = fixed
        .into_iter()
        .chain(endpoints.iter().map(String::as_str))
        .collect();
    let mut watching = RunningCommand::fibpro(&arguments);
    let is_up = |line: &str| {
        let services: Value = serde_json::from_str(line).unwrap();
        let services = services.as_array().unwrap().iter();
        services.filter(|service| service["up"] == true).count()
    };
    let first = watching.line();
    assert_eq!(is_up(&first), 6);
    // Each process exports and counts its own log.
    let dropped = first.matches(r#""logs_dropped":0"#).count();
    assert_eq!(dropped, 5, "{first}");
    crate::process::signal_id("-STOP", up.id("pricing"));
    // A request in flight at the stop may have been completed.
    let seen = (0..20).map(|_| is_up(&watching.line())).find(|up| *up < 6);
    // Continue it before any assertion: a stopped process would outlive the test.
    crate::process::signal_id("-CONT", up.id("pricing"));
    assert_eq!(seen, Some(5));
    watching.interrupt();
    let ended = watching.ended();
    // Pricing may be up again at the last probe.
    assert!(matches!(ended.code, Some(0 | 1)), "{ended:?}");
}
