//! JSON of the monitor, and the addresses that it looks at.

use fibpro::endpoints::Endpoints;
use fibpro::tool::monitor::{ProbeError, ServiceReport, Stats};

use crate::pinned::{assert_pinned, shape};
use crate::process::{command, output};

#[test]
fn monitor_json_is_as_pinned() {
    let down = ServiceReport {
        service: "pricing".to_owned(),
        address: "http://127.0.0.1:9004".to_owned(),
        up: false,
        error: Some(ProbeError {
            code: "unavailable".to_owned(),
            message: "text".to_owned(),
        }),
        numbers: None,
    };
    let up = |p50_us, p99_us, logs_dropped| ServiceReport {
        service: "logsink".to_owned(),
        address: "http://127.0.0.1:9002".to_owned(),
        up: true,
        error: None,
        numbers: Some(Stats {
            environment: "prod".to_owned(),
            instance: "127.0.0.1:9002".to_owned(),
            version: "0.1.0".to_owned(),
            uptime_s: 2.5,
            latency_us: 312,
            requests: 1000,
            in_flight: 1,
            failed: 25,
            failed_percent: 2.5,
            errors: 20,
            errors_percent: 2.0,
            refused: 5,
            refused_percent: 0.5,
            p50_us,
            p99_us,
            logs_dropped,
        }),
    };
    let seen = [
        up(Some(1529), Some(2529), Some(3)),
        up(None, None, None),
        down,
    ];
    assert_pinned!(
        "monitor.json",
        serde_json::to_string_pretty(&seen).unwrap() + "\n"
    );
}

#[test]
fn the_monitor_prints_one_array_on_one_line() {
    let mut command = command(env!("CARGO_BIN_EXE_monitor"), &["--json"]);
    let services = [
        "LOGSINK",
        "USERSTORE",
        "PRICING",
        "COMPUTE_WORKER",
        "CONTROLLER",
        "GATEKEEPER",
    ];
    for (port, service) in (1..).zip(services) {
        let url = format!("http://127.0.0.1:{port}");
        command.env(format!("FIBPRO_ENDPOINT_{service}"), url);
    }
    let ended = output(&mut command);
    assert_eq!(ended.status.code(), Some(1));
    let text = String::from_utf8(ended.stdout).unwrap();
    let seen: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    for (port, seen) in (1..).zip(seen) {
        assert_eq!(
            seen["address"],
            format!("http://127.0.0.1:{port}"),
            "{seen}"
        );
    }
    assert_pinned!("monitor_down.txt", shape(&text));
}

#[test]
fn endpoints_are_as_pinned() {
    let all = Endpoints::default().all().unwrap().into_iter();
    let lines = all.map(|(service, urls)| format!("{service} {}\n", urls.join(" ")));
    assert_pinned!("endpoints.txt", lines.collect::<String>());
}
