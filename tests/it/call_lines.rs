//! The log lines of failed calls: each failure once where it happened, once where its chain ends.

/// Refusals of strangers, which are counted.
mod counts;
/// The traces of calls.
mod traces;

use std::fmt::{Debug, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};

use rpc_runtime::axum::Router;
use rpc_runtime::axum::extract::State;
use rpc_runtime::axum::http::StatusCode;
use rpc_runtime::axum::response::{IntoResponse as _, Response};
use rpc_runtime::axum::routing::get;
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post_with, request};
use rpc_tests::wait::until;
use tokio::sync::Notify;
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::layer::{Context as Spans, Layer, SubscriberExt as _};

#[rpc_service(package = "lines.v1")]
trait Shop {
    /// Fails with this code at the last shop; the others pass the error on.
    async fn buy(&self, code: u8) -> Result<()>;
    /// The same with a typed error, which keeps its code.
    async fn order(&self) -> Result<(), ShopError>;
    /// Waits for `Handlers::go`, then fails as `buy` does.
    #[rpc(detached)]
    async fn ship(&self, code: u8) -> Result<()>;
}

#[derive(Debug, thiserror::Error, RpcError)]
enum ShopError {
    #[error("sold out")]
    #[rpc(code = "failed_precondition")]
    SoldOut,
    #[error("{0}")]
    #[rpc(other)]
    Other(Error),
}

struct Handlers {
    next: Option<ShopClient>,
    /// Notified when `ship` starts.
    started: Arc<Notify>,
    go: Arc<Notify>,
}

impl Shop for Handlers {
    async fn buy(&self, code: u8) -> Result<()> {
        match &self.next {
            Some(next) => Ok(next.buy(code).await?),
            None => fail!(Code::from_number(code).unwrap(), "the last shop fails"),
        }
    }

    async fn order(&self) -> Result<(), ShopError> {
        match &self.next {
            Some(next) => next.order().await.map_err(|error| match *error {
                ShopError::SoldOut => error.replaced_by(ShopError::SoldOut),
                ShopError::Other(_) => error.into(),
            }),
            None => Err(ShopError::SoldOut),
        }
    }

    async fn ship(&self, code: u8) -> Result<()> {
        self.started.notify_one();
        self.go.notified().await;
        self.buy(code).await
    }
}

fn shop(name: &str, next: Option<ShopClient>) -> Server {
    let handlers = Handlers {
        next,
        started: Arc::default(),
        go: Arc::default(),
    };
    Server::new(name).add(ShopServer::new(handlers))
}

/// `edge` → `middle` → `back`, the last two on internal listeners.
struct ShopChain {
    edge: ShopClient,
    middle: ShopClient,
    middle_address: SocketAddr,
    back: Running,
    _running: [Running; 2],
}

impl ShopChain {
    async fn start() -> Self {
        let back = Running::start(shop("back", None)).await;
        let to_back = ShopClient::connect(&back.url()).unwrap();
        let middle = Running::start(shop("middle", Some(to_back))).await;
        let to_middle = ShopClient::connect(&middle.url()).unwrap();
        let server = shop("edge", Some(to_middle.clone())).trust(Trust::Edge);
        let edge = Running::start(server).await;
        Self {
            edge: ShopClient::with_client(outside(&edge)),
            middle: to_middle,
            middle_address: middle.address(),
            back,
            _running: [middle, edge],
        }
    }
}

/// Returns a client whose own lines do not count.
fn outside(running: &Running) -> Client {
    Client::new(&running.url()).unwrap().without_observers()
}

/// The events of calls on this thread, which has all tasks of such a test.
pub(crate) struct Lines {
    seen: Arc<Mutex<Vec<CallLine>>>,
    /// `count message` of the warnings about events that are counted.
    pub(crate) counted: Arc<Mutex<Vec<String>>>,
    /// The reasons that they have.
    pub(crate) reasons: Arc<Mutex<Vec<String>>>,
    _guard: DefaultGuard,
}

#[derive(Debug, Clone, Default)]
struct CallLine {
    level: String,
    server: String,
    side: String,
    code: String,
    error: String,
    status: String,
}

impl Lines {
    pub(crate) fn start() -> Self {
        // While only one subscriber exists, a call site that another thread reaches first is
        // disabled for all threads.
        static OTHERS: LazyLock<[Dispatch; 2]> =
            LazyLock::new(|| [(); 2].map(|()| Dispatch::new(tracing_subscriber::registry())));
        LazyLock::force(&OTHERS);
        let (seen, counted, reasons): (_, Arc<_>, Arc<_>) = Default::default();
        let listener = Listener(Arc::clone(&seen), [&counted, &reasons].map(Arc::clone));
        let subscriber = tracing_subscriber::registry().with(listener);
        Self {
            seen,
            counted,
            reasons,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    fn all(&self) -> Vec<CallLine> {
        self.seen.lock().unwrap().clone()
    }

    /// Returns `LEVEL server code` of the lines that an operator sees by default.
    pub(crate) fn shown(&self) -> Vec<String> {
        let shown = self.all().into_iter().filter(|line| line.level != "DEBUG");
        shown
            .map(|line| format!("{} {} {}", line.level, line.server, line.code))
            .collect()
    }

    fn of(&self, server: &str) -> CallLine {
        let of_server = |line: &CallLine| line.server == server && line.side == "server";
        let mut all = self.all().into_iter();
        all.find(of_server)
            .unwrap_or_else(|| panic!("{:#?}", self.all()))
    }
}

struct Listener(Arc<Mutex<Vec<CallLine>>>, [Arc<Mutex<Vec<String>>>; 2]);

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _spans: Spans<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() == "rpc" && metadata.fields().field("count").is_some() {
            let mut line = CountLine::default();
            event.record(&mut line);
            let text = format!("{} {}", line.count, line.message);
            self.1[0].lock().unwrap().push(text);
            self.1[1].lock().unwrap().push(line.reason);
        }
        if metadata.target() != "rpc" || metadata.fields().field("rpc.method").is_none() {
            return;
        }
        let context = Context::current();
        let mut line = CallLine {
            level: metadata.level().to_string(),
            server: context.server().map_or("-", |own| own.server()).to_owned(),
            ..CallLine::default()
        };
        event.record(&mut line);
        self.0.lock().unwrap().push(line);
    }
}

#[derive(Default)]
struct CountLine {
    count: String,
    message: String,
    reason: String,
}

impl Visit for CountLine {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "count" => self.count = format!("{value:?}"),
            "message" => self.message = format!("{value:?}"),
            "reason" => self.reason = format!("{value:?}"),
            _ => {}
        }
    }
}

impl Visit for CallLine {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = match field.name() {
            "side" => &mut self.side,
            "code" => &mut self.code,
            "error" => &mut self.error,
            "http.status" => &mut self.status,
            _ => return,
        };
        write!(text, "{value:?}").unwrap();
    }
}

#[tokio::test]
async fn a_refusal_is_a_line_at_its_origin_and_at_the_edge() {
    let chain = ShopChain::start().await;
    let lines = Lines::start();
    chain.edge.order().await.unwrap_err();
    assert_eq!(
        lines.shown(),
        [
            "WARN back failed_precondition",
            "WARN edge failed_precondition"
        ]
    );
    assert!(!lines.of("back").error.contains("middle@"));
    let chain = lines.of("edge").error;
    for part in [
        "sold out",
        "at   Shop.Order",
        "middle@",
        "from Shop.Order",
        "back@",
    ] {
        assert!(chain.contains(part), "{part}: {chain}");
    }
    // The lines between are there for those who ask.
    assert_eq!(lines.of("middle").level, "DEBUG");
}

#[tokio::test]
async fn a_caller_without_the_chain_finds_it_in_the_log() {
    let chain = ShopChain::start().await;
    let mut raw = Raw::connect(chain.middle_address).await;
    for (headers, shown) in [
        // As curl, and clients of other languages.
        (
            &[][..],
            &[
                "WARN back failed_precondition",
                "WARN middle failed_precondition",
            ][..],
        ),
        (
            &[("x-rpc-accept", "error-chain")],
            &["WARN back failed_precondition"],
        ),
    ] {
        let lines = Lines::start();
        let response = raw
            .ask(post_with("/lines.v1.Shop/Order", headers, "{}"))
            .await;
        assert_eq!(response.status, 400);
        assert_eq!(lines.shown(), shown);
        assert!(lines.of("middle").error.contains("from Shop.Order"));
    }
}

#[tokio::test]
async fn a_code_that_is_kept_is_logged_like_a_refusal() {
    let chain = ShopChain::start().await;
    for (code, level) in [
        (Code::Unavailable, "WARN"),
        (Code::ResourceExhausted, "WARN"),
        (Code::DeadlineExceeded, "WARN"),
        (Code::Canceled, "INFO"),
    ] {
        let lines = Lines::start();
        let failed = chain.edge.buy(code.number()).no_retry().await.unwrap_err();
        assert_eq!(failed.code(), code);
        let expected = ["back", "edge"].map(|server| format!("{level} {server} {code}"));
        assert_eq!(lines.shown(), expected);
    }
}

#[tokio::test]
async fn a_server_that_changes_the_code_logs_the_failure() {
    let chain = ShopChain::start().await;
    let lines = Lines::start();
    let failed = chain.edge.buy(Code::NotFound.number()).await.unwrap_err();
    assert_eq!(failed.code(), Code::Internal);
    assert_eq!(
        lines.shown(),
        [
            "INFO back not_found",
            "ERROR middle internal",
            "ERROR edge internal"
        ]
    );
    assert!(lines.of("middle").error.contains("from Shop.Buy"));
}

#[tokio::test]
async fn without_a_response_the_calling_server_logs() {
    let chain = ShopChain::start().await;
    chain.back.stop().await;
    let lines = Lines::start();
    let failed = chain.edge.buy(Code::NotFound.number()).await.unwrap_err();
    assert_eq!(failed.code(), Code::Unavailable);
    assert_eq!(
        lines.shown(),
        ["WARN middle unavailable", "WARN edge unavailable"]
    );
    assert!(lines.of("middle").error.contains("cannot connect"));
    // Attempts that are repeated are among the lines of clients.
    let clients = lines.all().into_iter().filter(|line| line.side != "server");
    assert!(clients.clone().count() >= 4);
    assert!(clients.clone().all(|line| line.level == "DEBUG"));
}

#[tokio::test]
async fn levels_follow_the_code() {
    let back = Running::start(shop("back", None)).await;
    let client = ShopClient::with_client(outside(&back));
    for (level, codes) in [
        (
            "ERROR",
            &["unknown", "unimplemented", "internal", "data_loss"][..],
        ),
        (
            "WARN",
            &[
                "deadline_exceeded",
                "permission_denied",
                "resource_exhausted",
                "failed_precondition",
                "aborted",
                "out_of_range",
                "unavailable",
            ],
        ),
        (
            "INFO",
            &[
                "canceled",
                "invalid_argument",
                "not_found",
                "already_exists",
                "unauthenticated",
            ],
        ),
    ] {
        for code in codes {
            let number = code.parse::<Code>().unwrap().number();
            let lines = Lines::start();
            client.buy(number).no_retry().await.unwrap_err();
            assert_eq!(lines.shown(), [format!("{level} back {code}")]);
        }
    }
}

#[tokio::test]
async fn a_bad_request_is_no_error_of_the_server() {
    let back = Running::start(shop("back", None)).await;
    let mut raw = Raw::connect(back.address()).await;
    let json = ("content-type", "application/json");
    for (path, headers, status) in [
        ("/lines.v1.Shop/Sell", &[json][..], 404),
        (
            "/lines.v1.Shop/Buy",
            &[json, ("content-encoding", "br")],
            501,
        ),
    ] {
        let lines = Lines::start();
        let response = raw.ask(request("POST", path, headers, b"{}")).await;
        assert_eq!(response.status, status);
        assert_eq!(lines.shown(), ["INFO back unimplemented"]);
    }
}

#[tokio::test]
async fn detached_work_is_logged_without_a_caller() {
    let chain = ShopChain::start().await;
    let (started, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handlers = Handlers {
        next: Some(chain.middle),
        started: Arc::clone(&started),
        go: Arc::clone(&go),
    };
    let server = Server::new("last").add(ShopServer::new(handlers));
    let last = Running::start(server).await;
    let client = ShopClient::with_client(outside(&last));
    let lines = Lines::start();
    let code = Code::Unavailable.number();
    let call = tokio::spawn(client.ship(code).into_future());
    started.notified().await;
    call.abort();
    until(async || lines.shown().len() == 1).await;
    go.notify_one();
    until(async || lines.shown().len() == 3).await;
    assert_eq!(
        lines.shown(),
        [
            "INFO last canceled",
            "WARN back unavailable",
            // Its caller did not get the chain.
            "WARN last unavailable",
        ]
    );
}

async fn page(State(shop): State<ShopClient>) -> Response {
    let Err(error) = shop.order().await else {
        return StatusCode::OK.into_response();
    };
    let mut response = (StatusCode::FORBIDDEN, "not for you").into_response();
    response.extensions_mut().insert(error.as_error().clone());
    response
}

async fn fine() -> Response {
    let mut response = "a page without the part that failed".into_response();
    let error = Error::new(Code::Internal, "canary");
    response.extensions_mut().insert(error);
    response
}

#[tokio::test]
async fn a_plain_route_logs_the_error_of_its_response() {
    let chain = ShopChain::start().await;
    let routes = Router::new()
        .route("/page", get(page))
        .route("/fine", get(fine))
        .route("/gone", get(async || StatusCode::GONE))
        .with_state(chain.middle.clone());
    let app = Running::start(Server::new("app").http(routes)).await;
    let mut raw = Raw::connect(app.address()).await;
    let lines = Lines::start();
    let response = raw.ask(request("GET", "/page", &[], b"")).await;
    assert_eq!(
        (response.status, &*response.body),
        (403, &b"not for you"[..])
    );
    assert!(response.header("error").is_none());
    assert_eq!(
        lines.shown(),
        [
            "WARN back failed_precondition",
            "WARN app permission_denied"
        ]
    );
    let line = lines.of("app");
    assert_eq!(line.status, "403");
    assert!(line.error.starts_with("failed_precondition: sold out"));
    assert!(line.error.contains("from Shop.Order") && line.error.contains("back@"));

    for (path, shown, error) in [
        ("/fine", "INFO app ok", ""),
        (
            "/gone",
            "INFO app not_found",
            "not_found: responded with HTTP 410 Gone",
        ),
    ] {
        let lines = Lines::start();
        raw.ask(request("GET", path, &[], b"")).await;
        assert_eq!(lines.shown(), [shown]);
        assert!(lines.of("app").error.starts_with(error));
        assert!(!lines.of("app").error.contains("canary"));
    }
}
