//! The log lines of one request, in order, under one id.
//!
//! The test captures the log by a `tracing` layer on its thread. The context names the server of
//! each line, so the lines read as in the unified log.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, LazyLock, Mutex};

use rpc_runtime::Context;
use tracing::Dispatch;
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::{Context as Spans, Layer, SubscriberExt as _};

use super::harness::FibPro;

/// FibPro's own lines from level info, in the form of the log sink: `[prod_userstore] ID text`.
pub(super) struct CapturedLines {
    lines: Arc<Mutex<Vec<String>>>,
    _guard: DefaultGuard,
}

impl CapturedLines {
    /// Captures lines until dropped.
    pub(super) fn begin() -> Self {
        // While only one subscriber exists, a call site that another thread reaches first is
        // disabled for all threads: `tracing` then asks the subscriber of that thread alone.
        static OTHERS: LazyLock<[Dispatch; 2]> =
            LazyLock::new(|| [(); 2].map(|()| Dispatch::new(tracing_subscriber::registry())));
        LazyLock::force(&OTHERS);
        let lines = Arc::default();
        let listener = Listener(Arc::clone(&lines));
        let subscriber = tracing_subscriber::registry().with(listener);
        Self {
            lines,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

struct Listener(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &tracing::Event<'_>, _spans: Spans<'_, S>) {
        let meta = event.metadata();
        if !meta.target().starts_with("fibpro") || *meta.level() > tracing::Level::INFO {
            return;
        }
        let context = Context::current();
        let server = context.server().map_or("-", |server| server.server());
        let environment = context.environment().unwrap_or("-");
        let id = context.request_id();
        let mut line = format!("[{environment}_{server}] {id} ");
        event.record(&mut Message(&mut line));
        self.0.lock().unwrap().push(line);
    }
}

struct Message<'l>(&'l mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            write!(self.0, "{value:?}").unwrap();
        }
    }
}

#[tokio::test]
async fn b04_f02_f03_g04_a_purchase_logs_under_one_id() {
    let fibpro = FibPro::start(4).await;
    let captured = CapturedLines::begin();
    let response = fibpro.get("/9").await;
    assert_eq!((response.status, response.text.as_str()), (200, "34"));
    let id = response.header("x-request-id");
    assert_eq!(
        captured.lines(),
        [
            format!(r#"[prod_gatekeeper] {id} User "username" requested fib(9)"#),
            format!("[prod_userstore] {id} Credit for username incremented -1 yielding 3"),
            format!("[prod_controller] {id} username used 1 credit, balance: 3"),
        ]
    );
    assert_eq!(
        fibpro.ledger().await,
        [(4, "opening".to_owned()), (-1, "reserve".to_owned())]
    );
}

#[tokio::test]
async fn c04_f02_a_denied_request_logs_under_one_id() {
    let fibpro = FibPro::start(0).await;
    let captured = CapturedLines::begin();
    let response = fibpro.get("/3").await;
    assert_eq!(
        (response.status, response.text.as_str()),
        (
            403,
            "Error: fib(3) costs 1, user username has insufficient credit(0)"
        )
    );
    let id = response.header("x-request-id");
    assert_eq!(
        captured.lines(),
        [
            format!(r#"[prod_gatekeeper] {id} User "username" requested fib(3)"#),
            format!(r#"[prod_controller] {id} User "username" denied fib(3), credit: 0"#),
        ]
    );
    fibpro.audit().await;
}

#[tokio::test]
async fn b02_a_large_number_logs_no_more_than_a_small_one() {
    let fibpro = FibPro::start(9).await;
    let mut counts = Vec::new();
    for path in ["/1", "/10000"] {
        let captured = CapturedLines::begin();
        assert_eq!(fibpro.get(path).await.status, 200);
        counts.push(captured.lines().len());
    }
    assert_eq!(counts, [3, 3]);
}

#[tokio::test]
async fn f07_a_bad_number_is_a_line_of_the_gatekeeper() {
    let fibpro = FibPro::start(1).await;
    let captured = CapturedLines::begin();
    let response = fibpro.get("/4.5").await;
    let words = "'4.5' is not a number: use decimal digits, such as 10";
    assert_eq!(
        (response.status, response.text),
        (400, format!("Error: {words}"))
    );
    let id = response.headers["x-request-id"].to_str().unwrap();
    assert_eq!(
        captured.lines(),
        [format!(
            "[prod_gatekeeper] {id} Request to '/4.5' resulted in {words}"
        )]
    );
}
