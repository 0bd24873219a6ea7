use std::sync::{Arc, Mutex};

use rpc_runtime::Trust;
use rpc_runtime::context::TraceContext;
use rpc_runtime::observe::{CallEnd, CallStart, Observer};
use rpc_runtime::prelude::*;
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post_with};
use tracing::{Instrument as _, info_span};

use super::Traced;

/// The kinds of spans in OTLP.
const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[rpc_service(package = "shop.v1")]
pub(super) trait Orders {
    /// Returns the traces that the services see.
    #[rpc(idempotent)]
    async fn order(&self, item: &str) -> Result<Vec<String>>;
}

#[rpc_service(package = "shop.v1")]
trait Prices {
    #[rpc(idempotent)]
    async fn price(&self, item: &str) -> Result<Vec<String>>;
}

#[rpc_service(package = "shop.v1")]
trait Stock {
    #[rpc(idempotent)]
    async fn count(&self, item: &str) -> Result<Vec<String>>;
}

fn own_trace() -> String {
    let context = Context::current();
    context.trace().map_or("-".to_owned(), ToString::to_string)
}

struct Desk(PricesClient);

impl Orders for Desk {
    async fn order(&self, item: &str) -> Result<Vec<String>> {
        let mut traces = vec![own_trace()];
        let asking = self.0.price(item).into_future();
        traces.extend(asking.instrument(info_span!("choose a price")).await?);
        Ok(traces)
    }
}

struct List(StockClient);

impl Prices for List {
    async fn price(&self, item: &str) -> Result<Vec<String>> {
        let mut traces = vec![own_trace()];
        traces.extend(self.0.count(item).await?);
        Ok(traces)
    }
}

struct Shelf;

impl Stock for Shelf {
    async fn count(&self, item: &str) -> Result<Vec<String>> {
        match item {
            "tea" => Ok(vec![own_trace()]),
            "silk" => fail!(Code::NotFound, "no silk"),
            _ => fail!(Code::Internal, "the shelf broke: secret-1"),
        }
    }
}

/// Starts the three services, and returns a client of the first one.
pub(super) async fn shop() -> (OrdersClient, [Running; 3]) {
    let stock = Running::start(Server::new("stock").add(StockServer::new(Shelf))).await;
    let client = StockClient::connect(&stock.url()).unwrap();
    let prices = Running::start(Server::new("prices").add(PricesServer::new(List(client)))).await;
    let client = PricesClient::connect(&prices.url()).unwrap();
    let orders = Running::start(Server::new("orders").add(OrdersServer::new(Desk(client)))).await;
    let client = OrdersClient::connect(&orders.url()).unwrap();
    (client, [stock, prices, orders])
}

const ORDER: &str = "shop.v1.Orders/Order";
const PRICE: &str = "shop.v1.Prices/Price";
const COUNT: &str = "shop.v1.Stock/Count";

#[tokio::test]
async fn one_trace_over_three_services() {
    let traced = Traced::start().await;
    let (client, servers) = shop().await;
    let asking = client.order("tea").into_future();
    let seen = asking.instrument(info_span!("job")).await.unwrap();
    let root = traced.collector.span(INTERNAL, "job").await;
    assert!(root.span.parent_span_id.is_empty());
    let mut parent = root;
    let chain = [
        (CLIENT, ORDER),
        (SERVER, ORDER),
        (INTERNAL, "choose a price"),
        (CLIENT, PRICE),
        (SERVER, PRICE),
        (CLIENT, COUNT),
        (SERVER, COUNT),
    ];
    let mut of_servers = Vec::new();
    for (kind, name) in chain {
        let span = traced.collector.span(kind, name).await;
        assert!(span.is_child_of(&parent), "{name} {kind}");
        assert!(!span.has_failed(), "{name}");
        assert_eq!(span.service, "shop");
        if kind != INTERNAL {
            let (service, method) = name.split_once('/').unwrap();
            assert_eq!(span.attribute("rpc.system"), Some("connect_rpc"));
            assert_eq!(span.attribute("rpc.service"), Some(service));
            assert_eq!(span.attribute("rpc.method"), Some(method));
        }
        if kind == SERVER {
            of_servers.push(span.span.span_id.clone());
        }
        parent = span;
    }
    let port = servers[2].address().port().to_string();
    let call = traced.collector.span(CLIENT, ORDER).await;
    assert_eq!(call.attribute("server.address"), Some("127.0.0.1"));
    assert_eq!(call.attribute("server.port"), Some(&*port));
    // Handlers see the trace with their own span.
    for (seen, id) in seen.iter().zip(of_servers) {
        let seen = TraceContext::parse(seen, None).unwrap();
        assert_eq!(seen.parent_id().to_be_bytes().as_slice(), id);
    }
}

#[tokio::test]
async fn codes_of_failed_calls() {
    let traced = Traced::start().await;
    let (client, _servers) = shop().await;
    client.order("silk").await.unwrap_err();
    let client_span = traced.collector.span(CLIENT, COUNT).await;
    let server_span = traced.collector.span(SERVER, COUNT).await;
    for span in [&client_span, &server_span] {
        assert_eq!(
            span.attribute("rpc.connect_rpc.error_code"),
            Some("not_found")
        );
    }
    assert!(client_span.has_failed() && !server_span.has_failed());
    assert_eq!(client_span.attribute("error.type"), Some("not_found"));
    assert_eq!(server_span.attribute("error.type"), None);
    let status = client_span.span.status.unwrap();
    assert!(status.message.contains("no silk"), "{}", status.message);
}

#[tokio::test]
async fn a_fault_of_a_server_is_an_error_of_both() {
    let traced = Traced::start().await;
    let (client, _servers) = shop().await;
    client.order("glass").await.unwrap_err();
    for (kind, name) in [(CLIENT, COUNT), (SERVER, COUNT), (SERVER, ORDER)] {
        let span = traced.collector.span(kind, name).await;
        assert!(span.has_failed(), "{name} {kind}");
        assert_eq!(span.attribute("error.type"), Some("internal"));
    }
}

#[tokio::test]
async fn a_refused_request_has_a_span() {
    let traced = Traced::start().await;
    let running = Running::start(Server::new("stock").add(StockServer::new(Shelf))).await;
    let mut raw = Raw::connect(running.address()).await;
    let lines = [("Traceparent", PARENT)];
    let request = post_with("/shop.v1.Stock/Count", &lines, "{");
    assert_eq!(raw.ask(request).await.error().0, 400);
    let span = traced.collector.span(SERVER, COUNT).await;
    let code = span.attribute("rpc.connect_rpc.error_code");
    assert_eq!(code, Some("invalid_argument"));
    assert_eq!(
        span.span.parent_span_id,
        0x00f0_67aa_0ba9_02b7_u64.to_be_bytes()
    );
}

#[tokio::test]
async fn an_unsampled_trace_is_passed_on_only() {
    let traced = Traced::start().await;
    let (client, _servers) = shop().await;
    let unsampled = TraceContext::start(false);
    let context = Context::current().with_trace(unsampled.clone());
    let seen = context.scope(async { client.order("tea").await }).await;
    for seen in seen.unwrap() {
        let seen = TraceContext::parse(&seen, None).unwrap();
        assert_eq!(seen.trace_id(), unsampled.trace_id());
        assert!(!seen.sampled());
    }
    // A later trace arrives, the earlier one does not.
    client.order("tea").await.unwrap();
    traced.collector.span(CLIENT, ORDER).await;
    let id = unsampled.trace_id().to_be_bytes();
    assert!(
        traced
            .collector
            .spans()
            .iter()
            .all(|it| it.span.trace_id != id)
    );
}

#[tokio::test]
async fn a_given_trace_is_the_parent() {
    let traced = Traced::start().await;
    let (client, _servers) = shop().await;
    let given = TraceContext::parse(PARENT, Some("a=b")).unwrap();
    let context = Context::current().with_trace(given);
    let asking = context.scope(async { client.order("tea").await });
    // A span of another trace does not take its place.
    asking.instrument(info_span!("other")).await.unwrap();
    let call = traced.collector.span(CLIENT, ORDER).await.span;
    assert_eq!(call.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    let last = traced.collector.span(SERVER, COUNT).await.span;
    assert_eq!((last.trace_id, &*last.trace_state), (call.trace_id, "a=b"));
}

#[tokio::test]
async fn an_edge_links_the_trace_of_a_caller() {
    let traced = Traced::start().await;
    let server = Server::new("stock")
        .trust(Trust::Edge)
        .add(StockServer::new(Shelf));
    let running = Running::start(server).await;
    let mut raw = Raw::connect(running.address()).await;
    let lines = [("Traceparent", PARENT)];
    let request = post_with("/shop.v1.Stock/Count", &lines, r#"{"item":"tea"}"#);
    assert_eq!(raw.ask(request).await.value().0, 200);
    let span = traced.collector.span(SERVER, COUNT).await.span;
    assert!(span.parent_span_id.is_empty());
    let link = &span.links[0];
    assert_ne!(link.trace_id, span.trace_id);
    assert_eq!(link.span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
}

/// Keeps the trace of each call that ends.
#[derive(Clone, Default)]
struct Traces(Arc<Mutex<Vec<Vec<u8>>>>);

impl Observer for Traces {
    fn call_ended(&self, call: &CallStart, _: &CallEnd<'_>) {
        let trace = call.context.trace().unwrap().trace_id();
        self.0.lock().unwrap().push(trace.to_be_bytes().to_vec());
    }
}

#[tokio::test]
async fn observers_see_the_trace_that_begins_with_a_call() {
    let traced = Traced::start().await;
    let seen = Traces::default();
    let server = Server::new("stock")
        .trust(Trust::Edge)
        .observer(seen.clone())
        .add(StockServer::new(Shelf));
    let running = Running::start(server).await;
    let mut raw = Raw::connect(running.address()).await;
    let request = post_with("/shop.v1.Stock/Count", &[], r#"{"item":"tea"}"#);
    assert_eq!(raw.ask(request).await.value().0, 200);
    let span = traced.collector.span(SERVER, COUNT).await.span;
    assert_eq!(*seen.0.lock().unwrap(), [span.trace_id]);
}

#[tokio::test]
async fn calls_in_one_process_have_both_spans() {
    let traced = Traced::start().await;
    let client = StockClient::local(Shelf);
    client.count("tea").await.unwrap();
    let call = traced.collector.span(CLIENT, COUNT).await;
    let served = traced.collector.span(SERVER, COUNT).await;
    assert!(served.is_child_of(&call));
}

#[tokio::test]
async fn the_ratio_concerns_new_traces() {
    let traced = Traced::start_with(&[], |builder| builder.ratio(0.0)).await;
    let (client, _servers) = shop().await;
    let seen = client.order("tea").await.unwrap();
    assert!(seen.iter().all(|seen| seen.ends_with("-00")), "{seen:?}");
    let sampled = TraceContext::start(true);
    let context = Context::current().with_trace(sampled.clone());
    let seen = context.scope(async { client.order("tea").await }).await;
    assert!(seen.unwrap().iter().all(|seen| !seen.ends_with("-00")));
    let span = traced.collector.span(CLIENT, ORDER).await.span;
    assert_eq!(span.trace_id, sampled.trace_id().to_be_bytes());
}
