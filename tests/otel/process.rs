use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt as _;
use std::process::Command;

use rpc_runtime::testing::{Process, ProcessOutput};
use rpc_tests::chain::BackClient;

use super::collector::Collector;
use super::secure::Certificate;

/// The kind of a server's span in OTLP.
const SERVER: i32 = 2;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// Returns the command of a server without the settings of the test run.
fn server(options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chain_service"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("RPC_") || name.starts_with("OTEL_") {
            command.env_remove(&*name);
        }
    }
    command.env("RUST_LOG", "info");
    // The stop is over before a batch is due.
    command
        .args(["back", "--listen", "127.0.0.1:0", "--lame-duck", "0s"])
        .args(options);
    command
}

/// Makes one call to the server and stops it. Returns its output.
async fn call_and_stop(command: &mut Command) -> ProcessOutput {
    let mut process = Process::start(command).unwrap();
    let client = BackClient::connect(process.url()).unwrap();
    client.add().await.unwrap();
    process.terminate().unwrap();
    let ended = process.wait().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    ended
}

/// Checks that a collector has the span of the call.
fn assert_has_span(collector: &Collector) {
    let spans = collector.spans();
    let mut names = spans.iter().filter(|it| it.span.kind == SERVER);
    let of_call = names.find(|it| it.span.name == "chain.v1.Back/Add");
    assert_eq!(of_call.map(|it| &*it.service), Some("back"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_sends_the_spans_of_the_last_call() {
    let collector = Collector::start(&[]).await;
    let ended = call_and_stop(&mut server(&["--trace-endpoint", &collector.url])).await;
    assert_has_span(&collector);
    assert!(
        !ended.stderr.contains("spans were lost"),
        "{}",
        ended.stderr
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_collector_is_asked_again_at_the_stop() {
    let collector = Collector::start(&[503]).await;
    call_and_stop(&mut server(&["--trace-endpoint", &collector.url])).await;
    assert_has_span(&collector);
    assert_eq!(collector.requests(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_set_the_headers() {
    let collector = Collector::start(&[]).await;
    let mut command = server(&[]);
    command
        .env("RUST_LOG", "trace")
        .env(ENDPOINT, &collector.url)
        .env(HEADERS, "authorization=Bearer%20canary, X-Tenant = a%2Cb ,");
    let ended = call_and_stop(&mut command).await;
    assert_has_span(&collector);
    let head = collector.heads().remove(0);
    assert!(
        head.contains("\r\nauthorization: bearer canary\r\n"),
        "{head}"
    );
    assert!(head.contains("\r\nx-tenant: a,b\r\n"), "{head}");
    assert!(!ended.stderr.contains("canary"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_variables_of_traces_take_precedence() {
    let (collector, other) = (Collector::start(&[]).await, Collector::start(&[]).await);
    let mut command = server(&[]);
    command
        .env(ENDPOINT, &other.url)
        .env(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            format!("{}/v1/traces", collector.url),
        )
        .env(HEADERS, "a=general,b=general")
        .env("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=traces");
    call_and_stop(&mut command).await;
    assert_has_span(&collector);
    let head = collector.heads().remove(0);
    assert!(head.contains("\r\na: traces\r\n"), "{head}");
    assert!(!head.contains("general"), "{head}");
    // An option comes before both, and an empty variable is none.
    let mut command = server(&["--trace-endpoint", &other.url]);
    command
        .env(ENDPOINT, &collector.url)
        .env("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "")
        .env(HEADERS, "a=general");
    call_and_stop(&mut command).await;
    assert_has_span(&other);
    let head = other.heads().remove(0);
    assert!(head.contains("\r\na: general\r\n"), "{head}");
    assert_eq!(collector.requests(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_set_the_certificates() {
    let (certificate, client) = (Certificate::new(), Certificate::new());
    let collector = certificate.collector(Some(&client)).await;
    let mut command = server(&["--trace-endpoint", &collector.url]);
    command
        .env("OTEL_EXPORTER_OTLP_CERTIFICATE", certificate.file())
        .env("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", client.file())
        .env("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", client.key_file());
    call_and_stop(&mut command).await;
    assert_has_span(&collector);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_not_trusted_is_named() {
    let (certificate, other) = (Certificate::new(), Certificate::new());
    let collector = certificate.collector(None).await;
    let mut command = server(&["--trace-endpoint", &collector.url]);
    command.env("OTEL_EXPORTER_OTLP_CERTIFICATE", other.file());
    // The stop waits for the attempts, for a limited time.
    let ended = call_and_stop(&mut command).await;
    for text in ["spans were lost", &*collector.url] {
        assert!(ended.stderr.contains(text), "{text}: {}", ended.stderr);
    }
    assert_eq!(collector.requests(), 0);
}

#[test]
fn malformed_settings_fail_the_start() {
    let certificate = Certificate::new();
    let file = certificate.file().into_os_string();
    let not_text = OsString::from_vec(b"a=canary\xff".to_vec());
    let text = |text: &str| OsString::from(text);
    for (variable, value, problem) in [
        (HEADERS, text("canary"), "entry 1 of the list has no `=`"),
        (
            HEADERS,
            text("a=1,b=%zzcanary"),
            "entry 2 of the list has a `%`",
        ),
        (HEADERS, text("a=canary%0a"), "the value of the header `a`"),
        (
            HEADERS,
            text("content-length=canary"),
            "sets the header `content-length`",
        ),
        (HEADERS, not_text.clone(), "the value is not valid UTF-8"),
        (ENDPOINT, text("canary:4318"), "invalid server URL"),
        (ENDPOINT, text("unix:/run/otlp.sock"), "Unix socket"),
        (ENDPOINT, not_text, "the value is not valid UTF-8"),
        (
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            text("/missing.crt"),
            "/missing.crt",
        ),
        (
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
            file.clone(),
            "needs OTEL_EXPORTER_OTLP_CLIENT_KEY",
        ),
        (
            "OTEL_EXPORTER_OTLP_CLIENT_KEY",
            file,
            "needs OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        ),
    ] {
        let mut command = server(&[]);
        if variable != ENDPOINT {
            command.env(ENDPOINT, "https://127.0.0.1:1");
        }
        // Its own problem would come first on a system without authorities.
        command.env("SSL_CERT_FILE", certificate.file());
        let ended = start_fails(command.env(variable, &value), &value);
        assert!(ended.contains(problem), "{variable}: {ended}");
        if !problem.starts_with('/') {
            assert!(ended.contains(variable), "{ended}");
        }
    }
}

/// Runs a server that does not start. Returns the text on stderr, which has nothing secret.
fn start_fails(command: &mut Command, value: &OsStr) -> String {
    let ended = Process::spawn(command).unwrap().wait().unwrap();
    assert!(!ended.status.success(), "{value:?}: {ended:?}");
    let is_url = value.to_string_lossy().contains(":4318");
    assert!(
        is_url || !ended.stderr.contains("canary"),
        "{}",
        ended.stderr
    );
    ended.stderr
}
