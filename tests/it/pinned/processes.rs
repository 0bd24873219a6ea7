use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use rpc_runtime::testing::Process;
use rpc_tests::raw::{Raw, post, post_with};
use serde_json::Value;
use tokio::time::timeout;

use super::expect;

fn back(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chain_service"));
    command.arg("back").args(arguments);
    command
        .env("RPC_LISTEN", "127.0.0.1:0")
        .env("RUST_LOG", "off");
    command.envs(variables.iter().copied());
    command
}

fn address(process: &Process) -> SocketAddr {
    let url = process.url();
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn exit_codes() {
    let mut shown = String::new();
    for (arguments, variables) in [
        (&["--unknown"][..], &[][..]),
        (&["--lame-duck=5"], &[]),
        (&["--listen=nowhere"], &[]),
        (&["--flag=unknown=1"], &[]),
        (&["--flag=log_rpc=maybe"], &[]),
        (&["--flags-file=/nowhere/flags"], &[]),
        (&["--identity-key-file=/nowhere/keys"], &[]),
        (&["--logsink=nowhere"], &[]),
        (&["--ship-log=a=loud"], &[]),
        (&[], &[("RPC_FLAG_UNKNOWN", "1")]),
        (&[], &[("RPC_LOG_FORMAT", "xml")]),
        (&["--version"], &[]),
        (&["--help"], &[]),
    ] {
        let ended = Process::spawn(&mut back(arguments, variables))
            .unwrap()
            .wait();
        let code = ended.unwrap().status.code();
        writeln!(shown, "{arguments:?} {variables:?} {code:?}").unwrap();
    }
    let mut process = Process::start(&mut back(&[], &[])).unwrap();
    process.terminate().unwrap();
    let ended = process.wait().unwrap();
    writeln!(shown, "a signal {:?}", ended.status.code()).unwrap();

    let mut process = Process::start(&mut back(&[], &[("RUST_LOG", "info")])).unwrap();
    let mut raw = Raw::connect(address(&process)).await;
    raw.send(post("/chain.v1.Back/Hold", "{}")).await.unwrap();
    let mut other = Raw::connect(address(&process)).await;
    let holding = async {
        let running = r#""name":"chain.v1.Back/Hold","requests":1,"#;
        loop {
            let status = other.ask(post("/rpc.v1.Status/Get", "{}")).await;
            if String::from_utf8_lossy(&status.body).contains(running) {
                break;
            }
        }
    };
    timeout(Duration::from_secs(30), holding).await.unwrap();
    process.terminate().unwrap();
    process.wait_for_stderr("stopping").unwrap();
    // Two signals may be merged, so the second one is repeated until it has arrived.
    while process.terminate().is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let ended = process.wait().unwrap();
    writeln!(
        shown,
        "a second signal during a call {:?}",
        ended.status.code()
    )
    .unwrap();
    let (line, _) = ended
        .stdout
        .split_once(address(&process).port().to_string().as_str())
        .unwrap();
    writeln!(shown, "stdout: {line}{{port}}").unwrap();
    expect("exit_codes.txt", &shown);
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Formats level, target, and names and types of the fields.
fn shape(line: &Value) -> String {
    let mut shown = format!("{} {}", line["level"], line["target"]);
    for (name, value) in line.as_object().unwrap() {
        write!(shown, " {name}:{}", kind(value)).unwrap();
    }
    for (name, value) in line["fields"].as_object().unwrap() {
        write!(shown, "\n  {name}: {}", kind(value)).unwrap();
    }
    shown + "\n"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn log_lines_and_variables() {
    let variables = [
        ("RPC_LOG_FORMAT", "json"),
        ("RPC_FLAG_LOG_RPC", "true"),
        ("RPC_ENVIRONMENT", "dev"),
        ("RPC_INSTANCE", "a1"),
        ("RUST_LOG", "debug"),
    ];
    let mut process = Process::start(&mut back(&[], &variables)).unwrap();
    let mut raw = Raw::connect(address(&process)).await;
    let lines = [("X-Request-Id", "r-1"), ("X-Rpc-Source", "web@dev/b2")];
    raw.ask(post_with("/chain.v1.Back/Put", &lines, "{}")).await;
    raw.ask(post_with("/chain.v1.Back/Put", &lines, "[]")).await;
    raw.ask(post_with("/no.Such/Path", &lines, "{}")).await;
    let off = r#"{"name":"log_rpc","value":"false"}"#;
    let set = raw.ask(post_with("/rpc.v1.Flags/Set", &lines, off)).await;
    assert_eq!(set.status, 200);
    let reset = r#"{"name":"log_rpc"}"#;
    let reset = raw
        .ask(post_with("/rpc.v1.Flags/Reset", &lines, reset))
        .await;
    let origin = reset.value().1["origin"].clone();
    process.terminate().unwrap();
    let ended = process.wait().unwrap();
    let mut shown = format!("RPC_FLAG_LOG_RPC: {origin}\n");
    for line in ended.stderr.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let target = line["target"].as_str().unwrap();
        match target {
            "rpc.line" => {
                let text = line["fields"]["message"].as_str().unwrap();
                let (text, time) = text.rsplit_once(' ').unwrap();
                assert!(time.ends_with('s'), "{time}");
                writeln!(shown, "{text} {{time}}\n{}", shape(&line)).unwrap();
            }
            "rpc" if line["fields"]["rpc.method"].is_string() => {
                writeln!(
                    shown,
                    "{} {}\n{}",
                    line["fields"]["rpc.method"],
                    line["fields"]["code"],
                    shape(&line)
                )
                .unwrap();
            }
            "rpc.audit" => writeln!(shown, "{}", shape(&line)).unwrap(),
            _ => {}
        }
    }
    expect("log_lines.txt", &shown);
}
