use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use clap::Args as _;
use rpc_runtime::prelude::*;
use rpc_runtime::{Code, Server, ServerOptions};
use rpc_tests::raw::{Raw, post};

use super::*;

/// Each variable of the options with a value that is refused.
const INVALID: [(&str, &str); 21] = [
    ("RPC_LISTEN", "127.0.0.1:x"),
    ("RPC_LISTEN_EDGE", "http://127.0.0.1:0"),
    ("RPC_HOST_NAME", "http://shop.test"),
    ("RPC_SOCKET_MODE", "9"),
    ("RPC_ENVIRONMENT", "a b"),
    ("RPC_INSTANCE", "a b"),
    ("RPC_IDENTITY_KEY_FILE", "/nowhere/keys"),
    ("RPC_TLS_CERT", "/nowhere/tls.crt"),
    ("RPC_TLS_KEY", "/nowhere/tls.key"),
    ("RPC_TLS_CLIENT_CA", "/nowhere/ca.crt"),
    ("RPC_TLS_LISTENERS", "some"),
    ("RPC_TRUSTED_PROXY", "proxy.test"),
    ("RPC_LOG_FORMAT", "xml"),
    ("RPC_LOGSINK", "nowhere"),
    ("RPC_SHIP_LOG", "shop=loud"),
    ("RPC_LOG_SPOOL", "/dev/null/spool"),
    ("RPC_TRACE_ENDPOINT", "nowhere"),
    ("RPC_TRACE_RATIO", "2"),
    ("RPC_LAME_DUCK", "5"),
    ("RPC_FLAGS_FILE", "/nowhere/flags"),
    ("RPC_ALLOW_FAULTS", "maybe"),
];

/// Variables of flags have no option of their own.
const FLAG: &str = "RPC_FLAG_LOG_RPC";

#[test]
fn every_variable_is_tested() {
    let command = ServerOptions::augment_args(clap::Command::new("server"));
    let variables = command.get_arguments().filter_map(clap::Arg::get_env);
    let variables: Vec<_> = variables
        .map(|name| name.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(variables, INVALID.map(|variable| variable.0));
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let names = INVALID
        .iter()
        .map(|variable| variable.0)
        .chain([FLAG, "RUST_LOG", "NO_COLOR"]);
    let mut all = back();
    all.envs(names.map(|name| (name, "")));
    let mut process = start(&mut all);
    let ended = stop(&mut process);
    assert!(
        ended.stderr.contains("stopping"),
        "RUST_LOG is info: {ended:?}"
    );
    assert!(!ended.stderr.contains("WARN"), "{ended:?}");
}

#[test]
fn a_refusal_names_its_variable() {
    for (name, value) in INVALID.into_iter().chain([(FLAG, "maybe")]) {
        let mut command = back();
        command.env("RPC_LISTEN", "127.0.0.1:0");
        if name == "RPC_LOG_SPOOL" {
            command.env("RPC_LOGSINK", "http://127.0.0.1:1");
        }
        let ended = output(command.env(name, value));
        assert!(!ended.status.success(), "{name}");
        assert!(ended.stderr.contains(name), "{name}: {}", ended.stderr);
    }
}

#[test]
fn a_filter_of_the_export_is_no_target_by_mistake() {
    for (value, advice) in [
        ("infoo", "did you mean `info`?"),
        ("info,rpc=wrn", "did you mean `warn`?"),
        ("loud", "write `loud=trace`"),
    ] {
        let by_variable = output(back().env("RPC_SHIP_LOG", value));
        let by_option = output(back().arg(format!("--ship-log={value}")));
        for ended in [by_variable, by_option] {
            assert!(!ended.status.success(), "{ended:?}");
            let is_named = ended.stderr.contains("--ship-log (RPC_SHIP_LOG): ");
            assert!(is_named && ended.stderr.contains(advice), "{ended:?}");
        }
    }
    let empty = output(back().arg("--ship-log="));
    assert!(empty.stderr.contains("it is empty"), "{empty:?}");
}

#[test]
fn a_variable_that_is_not_utf8_is_named() {
    for name in [
        "RPC_LISTEN",
        "RPC_INSTANCE",
        "RPC_SOCKET_MODE",
        "RPC_LAME_DUCK",
        FLAG,
    ] {
        let value = OsStr::from_bytes(b"1\xff");
        let mut command = back();
        command.env("RPC_LISTEN", "127.0.0.1:0");
        let ended = output(command.env(name, value));
        assert!(!ended.status.success(), "{name}");
        assert!(ended.stderr.contains(name), "{name}: {}", ended.stderr);
    }
}

#[test]
fn an_option_is_named_and_not_its_variable() {
    // The variable is valid, and the option of the command line is not.
    let ended = output(back().env("RPC_LAME_DUCK", "1s").args(["--lame-duck", "5"]));
    assert!(ended.stderr.contains("--lame-duck"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("RPC_LAME_DUCK"), "{}", ended.stderr);
}

struct Nothing;

#[rpc_service(package = "starting.v1")]
trait Work {
    async fn next(&self, n: u64) -> Result<u64>;
}

impl Work for Nothing {
    async fn next(&self, n: u64) -> Result<u64> {
        Ok(n + 1)
    }
}

#[tokio::test]
async fn a_port_alone_is_on_all_interfaces() {
    let server = Server::new("work").add(WorkServer::new(Nothing));
    let bound = server.listen(":0").bind().await.unwrap();
    let (address, url) = (bound.addresses()[0], bound.url());
    assert!(address.ip().is_unspecified(), "{address}");
    let serving = tokio::spawn(bound.serve(std::future::pending()));
    let client = WorkClient::connect(&url).unwrap();
    assert_eq!(client.next(1).await.unwrap(), 2, "the printed URL");
    let loopback = SocketAddr::from(([127, 0, 0, 1], address.port()));
    let mut raw = Raw::connect(loopback).await;
    let response = raw.ask(post("/starting.v1.Work/Next", r#"{"n":1}"#)).await;
    assert_eq!(response.value(), (200, 2.into()), "this host is trusted");
    serving.abort();
}

#[tokio::test]
async fn a_port_in_use_is_not_bound_on_one_interface() {
    let taken = Server::new("work").listen(":0").bind().await.unwrap();
    let port = taken.addresses()[0].port();
    let again = Server::new("work").listen(format!(":{port}")).bind().await;
    let error = again.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(
        error.message().contains("another process listens there"),
        "{error}"
    );
}

#[tokio::test]
async fn an_invalid_address_gets_advice() {
    for (address, advice) in [
        (
            "http://127.0.0.1:80",
            "write `127.0.0.1:80` without `http://`",
        ),
        ("*:80", "write `:80` for all interfaces"),
        ("8080", "write `127.0.0.1:8080` for this host only"),
        ("localhost", "write `localhost:PORT`"),
        ("", "the address is empty"),
        ("/run/work.sock", "begins with `unix:`"),
    ] {
        let error = Server::new("work")
            .listen(address)
            .bind()
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{address}");
        assert!(error.message().contains(advice), "{address}: {error}");
        assert!(
            error.message().starts_with("work cannot listen on "),
            "{error}"
        );
    }
    let unknown = Server::new("work").listen("name.invalid:80").bind().await;
    let error = unknown.unwrap_err();
    assert!(
        error
            .message()
            .contains("cannot resolve the host `name.invalid`"),
        "{error}"
    );
}

#[test]
fn addresses_of_a_variable_may_have_spaces() {
    let mut command = back();
    command.env("RPC_LISTEN", "127.0.0.1:0, 127.0.0.1:0");
    let mut process = Process::start(&mut command).unwrap();
    let ended = stop(&mut process);
    assert_eq!(
        ended
            .stdout
            .matches("back listening on http://127.0.0.1:")
            .count(),
        2
    );
}
