//! Replicas of services, as `fibpro up --replicas` starts them.

use rpc_runtime::status::ServerStatus;

use crate::process::{Ended, Folder, fibpro, output};
use crate::up::{Up, ask, until, up_in};

const REPLICAS: [&str; 4] = ["pricing", "pricing-2", "compute_worker", "compute_worker-2"];

/// Returns the number of requests that a replica has handled for other services.
fn requests(up: &Up, replica: &str) -> u64 {
    let key = up.key();
    let url = up.url(replica);
    let ended = fibpro(&["status", "--json", "--identity-key-file", &key, "--to", url]);
    let status: ServerStatus = serde_json::from_str(&ended.stdout).unwrap();
    let methods = status.methods.iter();
    let of_fibpro = methods.filter(|method| method.name.starts_with("fibpro."));
    of_fibpro.map(|method| method.requests).sum()
}

fn shares_the_calls(arguments: &[&str]) {
    // Replicas are drawn at random, so the credit must last for many purchases.
    let folder = Folder::new();
    let users = folder.file("users.json");
    let user = r#"[{"username": "username", "password": "password", "credit": 100000}]"#;
    std::fs::write(&users, user).unwrap();
    let given = ["--replicas", "pricing=2,compute_worker=2", "--users"];
    let given = [&given[..], &[users.to_str().unwrap()], arguments].concat();
    let up = Up::start_in(folder, &given);
    let mut n = 0;
    until("each replica is called", || {
        n += 1;
        let response = ask(up.url("gatekeeper"), &format!("/{}", n % 2 + 1));
        assert!(response.ends_with("\r\n\r\n1"), "{response}");
        REPLICAS.iter().all(|replica| requests(&up, replica) > 0)
    });
    let (ended, _folder) = up.stop();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

#[test]
fn replicas_share_the_calls() {
    shares_the_calls(&[]);
}

#[test]
fn replicas_in_processes_share_the_calls() {
    shares_the_calls(&["--processes", "--unix"]);
}

#[test]
fn a_wrong_number_of_replicas_is_refused() {
    let expected =
        "expected SERVICE=N, where SERVICE is pricing or compute_worker and N is from 1 to 16";
    for value in [
        "",
        "pricing",
        "pricing=",
        "pricing=0",
        "pricing=17",
        "pricing=+2",
        "pricing=2 ",
        "userstore=2",
        "=2",
        "pricing=2,,",
    ] {
        let ended = fibpro(&["up", "--replicas", value]);
        assert_eq!(ended.code, Some(2), "{value}: {ended:?}");
        assert!(ended.stderr.contains(expected), "{value}: {ended:?}");
    }
    let folder = Folder::new();
    let twice = ["--replicas=pricing=2", "--replicas=pricing=3"];
    let ended = Ended::from(output(&mut up_in(&folder.file("data"), &twice)));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("`--replicas` has pricing twice"),
        "{ended:?}"
    );
    assert!(!folder.file("data").exists());
}
