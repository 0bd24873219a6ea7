use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rpc_runtime::otel::TraceExporter;
use rpc_tests::folder::Folder;
use rpc_tests::wait::{until, within};
use tokio::net::TcpStream;
use tracing::{Instrument as _, info_span};
use tracing_subscriber::layer::SubscriberExt as _;

use super::spans::shop;

/// A process that ends with its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_real_collector_takes_the_spans() {
    let Some(program) = std::env::var_os("ROTEL_AGENT") else {
        println!("skipped: set ROTEL_AGENT to the program rotel-agent (pip install --pre rotel)");
        return;
    };
    let folder = Folder::new();
    let output = folder.path().join("output");
    let (http, grpc) = (free_address(), free_address());
    let mut command = Command::new(program);
    command
        .args(["start", "--exporter", "blackhole", "--debug-log", "traces"])
        .args(["--debug-log-verbosity", "detailed"])
        .args(["--otlp-http-endpoint", &http, "--otlp-grpc-endpoint", &grpc])
        .env("NO_COLOR", "1")
        .stdout(File::create(&output).unwrap())
        .stderr(Stdio::null());
    let _collector = Process(command.spawn().unwrap());
    until(async || TcpStream::connect(&http).await.is_ok()).await;

    let exporter = TraceExporter::builder(&format!("http://{http}")).unwrap();
    let exporter = exporter.start("shop").unwrap();
    let subscriber = tracing_subscriber::registry().with(exporter.layer());
    let subscriber = tracing::subscriber::set_default(subscriber);
    let (client, servers) = shop().await;
    let asking = client.order("silk").into_future();
    asking.instrument(info_span!("job")).await.unwrap_err();
    drop(servers);
    until(async || exporter.exported() >= 7).await;
    assert_eq!(exporter.dropped(), 0);
    within(exporter.shutdown(Duration::from_secs(30))).await;
    drop(subscriber);

    let read = || fs::read_to_string(&output).unwrap();
    until(async || read().contains("job")).await;
    for text in [
        "shop.v1.Orders/Order",
        "shop.v1.Prices/Price",
        "shop.v1.Stock/Count",
        "rpc.connect_rpc.error_code",
        "not_found",
    ] {
        assert!(read().contains(text), "{text}: {}", read());
    }
}
