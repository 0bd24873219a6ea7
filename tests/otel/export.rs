use std::time::Duration;

use rpc_runtime::Code;
use rpc_runtime::otel::TraceExporter;
use rpc_tests::wait::{until, within};
use tokio::net::TcpListener;
use tracing::info_span;
use tracing_subscriber::layer::SubscriberExt as _;

use super::Traced;

fn write_spans(count: usize) {
    for _ in 0..count {
        drop(info_span!("work").entered());
    }
}

#[tokio::test]
async fn a_shutdown_sends_what_waits() {
    let traced = Traced::start().await;
    write_spans(1000);
    assert_eq!(traced.exporter.dropped(), 0);
    within(traced.exporter.shutdown(Duration::from_secs(30))).await;
    assert_eq!(traced.collector.spans().len(), 1000);
}

#[tokio::test]
async fn a_busy_collector_is_asked_again() {
    let traced = Traced::start_with(&[503, 429], Ok).await;
    write_spans(3);
    until(async || traced.exporter.exported() == 3).await;
    assert_eq!(traced.exporter.dropped(), 0);
    assert_eq!(traced.collector.requests(), 3);
}

#[tokio::test]
async fn refused_spans_are_counted() {
    let traced = Traced::start_with(&[400], Ok).await;
    write_spans(3);
    until(async || traced.exporter.dropped() == 3).await;
    write_spans(2);
    until(async || traced.exporter.exported() == 2).await;
    assert_eq!(traced.collector.requests(), 2);
}

#[tokio::test]
async fn a_collector_that_hangs_holds_up_nothing() {
    // Accepts, and never responds.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let exporter = TraceExporter::builder(&url).unwrap().queue(8).unwrap();
    let exporter = exporter.start("shop").unwrap();
    let subscriber = tracing_subscriber::registry().with(exporter.layer());
    let _subscriber = tracing::subscriber::set_default(subscriber);
    // Those of one batch and of the queue have a place.
    write_spans(2000);
    assert!(
        exporter.dropped() >= 2000 - 512 - 8,
        "{}",
        exporter.dropped()
    );
    within(exporter.shutdown(Duration::ZERO)).await;
}

#[test]
fn settings_that_export_nothing_are_refused() {
    for url in ["", "nowhere", "unix:/run/a.sock", "http://a:99999"] {
        let error = TraceExporter::builder(url).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{url}");
    }
    let builder = || TraceExporter::builder("http://127.0.0.1:4318").unwrap();
    for ratio in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert!(builder().ratio(ratio).is_err(), "{ratio}");
    }
    assert!(builder().queue(0).is_err());
}
