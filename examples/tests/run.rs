//! Runs each example to its end and compares its output.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;

fn run(program: &str) -> String {
    let output = Command::new(program).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(
        output.status.success() && stderr.is_empty(),
        "{program}: {stdout}\n{stderr}"
    );
    stdout
}

#[test]
fn hello() {
    let printed = run(env!("CARGO_BIN_EXE_hello"));
    assert!(
        printed
            .starts_with("Hello Ada!\nHello Grace!\nexamples.v1.Greeter 0.1.0 runs at 127.0.0.1:"),
        "{printed}"
    );
}

#[test]
fn remote_errors() {
    let printed = run(env!("CARGO_BIN_EXE_remote_errors"));
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines[0], "ada has 0 left");
    assert!(
        lines[2].starts_with("internal: internal error   [request "),
        "{printed}"
    );
    assert!(
        lines[3].starts_with("  at   Controller.Generate ")
            && lines[3].contains("remote_errors.rs:"),
        "{printed}"
    );
    assert!(
        lines[4].starts_with("  from Pricing.Pay ") && lines[4].contains("INSUFFICIENT_CREDIT"),
        "{printed}"
    );
    assert!(
        lines[5].ends_with("failed_precondition: insufficient credit(0)"),
        "{printed}"
    );
}

/// Without a collector, calls work all the same.
#[test]
fn otel() {
    let printed = run(env!("CARGO_BIN_EXE_otel"));
    assert_eq!(printed, "tea costs 4\nsilk: internal error\n");
}

#[test]
fn layers() {
    assert_eq!(
        run(env!("CARGO_BIN_EXE_layers")),
        "with the token None:\n  Vault.Open unauthenticated\n  unauthenticated: missing token: send it in x-token\n\
         with the token Some(\"open\"):\n  Vault.Open permission_denied\n  permission_denied: invalid token in x-token\n\
         with the token Some(\"sesame\"):\n  Vault.Open ok\n  found gold for Ali Baba\n"
    );
}

#[test]
fn in_process_test() {
    let printed = run(env!("CARGO_BIN_EXE_in_process_test"));
    assert!(
        printed
            .starts_with("with credit 4:    sold, 3 left\nwithout credit:   not enough credit\n"),
        "{printed}"
    );
}

#[test]
fn flags() {
    assert_eq!(
        run(env!("CARGO_BIN_EXE_flags")),
        "Hello Ada, Ada!\nHi Ada, Ada!\n\
         invalid_argument: flag times not changed: invalid value `4`: out of range; expected a whole number, from 1 to 3\n\
         greeting = Hi (from run time)\nlog_rpc = false (from default)\ntimes = 2 (from program)\n"
    );
}

#[test]
fn tls() {
    let program = env!("CARGO_BIN_EXE_tls");
    assert_eq!(run(program), "usage: tls CERTIFICATE KEY\n");
    let mut command = Command::new(program);
    let output = command
        .args(["/nowhere/tls.crt", "/nowhere/tls.key"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    let problem = "failed to read the certificate file /nowhere/tls.crt";
    assert!(stderr.contains(problem), "{stderr}");
}

#[test]
fn cors() {
    assert_eq!(
        run(env!("CARGO_BIN_EXE_cors")),
        "https://shop.example: access-control-allow-origin: https://shop.example\n\
         https://evil.example: not allowed\n"
    );
}

#[test]
fn tower_http() {
    assert_eq!(
        run(env!("CARGO_BIN_EXE_tower_http")),
        "without a token: Some(Unauthenticated)\nwith a token:    gold for Ali Baba\n"
    );
}

#[test]
fn axum_mount() {
    assert_eq!(
        run(env!("CARGO_BIN_EXE_axum_mount")),
        "Hello Ada\nHello Grace\n"
    );
}
