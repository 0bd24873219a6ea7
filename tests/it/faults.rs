//! `x-rpc-fault` where it is allowed, where it is not, and at an edge, which ignores it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rpc_runtime::middleware::{Next, Request, Response};
use rpc_runtime::observe::{CallEnd, CallStart, Observer, Side};
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, RequestId, RetryPolicy, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post_with};

#[rpc_service(package = "faults.v1", endpoint = "pricing")]
trait Pricing {
    async fn pay(&self) -> Result<u32>;
    #[rpc(idempotent)]
    async fn quote(&self) -> Result<u32>;
    #[rpc(detached)]
    async fn settle(&self) -> Result<u32>;
}

/// Number of runs of a handler.
#[derive(Clone, Default)]
struct Runs(Arc<AtomicU32>);

impl Runs {
    fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    fn run(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}

impl Pricing for Runs {
    async fn pay(&self) -> Result<u32> {
        Ok(self.run())
    }

    async fn quote(&self) -> Result<u32> {
        Ok(self.run())
    }

    async fn settle(&self) -> Result<u32> {
        Ok(self.run())
    }
}

/// The calls that the server reports.
#[derive(Clone, Default)]
struct ReportedCodes(Arc<Mutex<Vec<Option<Code>>>>);

impl ReportedCodes {
    fn take(&self) -> Vec<Option<Code>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for ReportedCodes {
    fn call_ended(&self, call: &CallStart, end: &CallEnd<'_>) {
        assert_eq!(call.side, Side::Server);
        self.0.lock().unwrap().push(end.code());
    }
}

struct Test {
    runs: Runs,
    seen: ReportedCodes,
    client: PricingClient,
    running: Option<Running>,
}

fn server(runs: &Runs, seen: &ReportedCodes) -> Server {
    Server::new("pricing")
        .add(PricingServer::new(runs.clone()))
        .observer(seen.clone())
}

/// Runs a test over sockets and in process, against a server that allows faults.
async fn on_each_transport(test: impl AsyncFn(Test)) {
    for sockets in [true, false] {
        let (runs, seen) = (Runs::default(), ReportedCodes::default());
        let server = server(&runs, &seen).allow_faults();
        let (client, running) = if sockets {
            let running = Running::start(server).await;
            (Client::new(&running.url()).unwrap(), Some(running))
        } else {
            (server.into_local_client().unwrap(), None)
        };
        let client = PricingClient::with_client(client.retry(RetryPolicy::off()));
        test(Test {
            runs,
            seen,
            client,
            running,
        })
        .await;
    }
}

fn with(plan: &str) -> Context {
    Context::current().with_faults(plan.parse().unwrap())
}

#[tokio::test]
async fn an_injected_code_replaces_the_handler() {
    on_each_transport(async |test| {
        for code in Code::all() {
            let call = with(&format!("pricing.pay={code}")).enter(|| test.client.pay());
            let error = call.await.unwrap_err();
            assert_eq!(error.code(), code);
            assert_eq!(
                error.message(),
                format!("fault injected by x-rpc-fault: {code}")
            );
            assert_eq!(test.seen.take(), [Some(code)]);
        }
        assert_eq!(test.runs.count(), 0);
        assert_eq!(test.client.pay().await.unwrap(), 1);
        let other = with("pricing.pay=internal,userstore.get=drop").enter(|| test.client.quote());
        assert_eq!(other.await.unwrap(), 2, "a method that is not named");
        let ping = with("*=internal").enter(|| test.client.ping());
        assert_eq!(ping.await.unwrap().service, "faults.v1.Pricing");
    })
    .await;
}

#[tokio::test]
async fn a_connection_is_closed_before_or_after_the_handler() {
    on_each_transport(async |test| {
        for (effect, runs) in [("drop", 0), ("lose", 1)] {
            for method in ["pay", "settle"] {
                test.runs.0.store(0, Ordering::SeqCst);
                let call = with(&format!("pricing.{method}={effect}")).enter(|| match method {
                    "pay" => test.client.pay(),
                    _ => test.client.settle(),
                });
                let error = call.await.unwrap_err();
                assert_eq!(error.code(), Code::Unavailable, "{effect}");
                assert!(
                    error.message().contains("may have been executed"),
                    "{error}"
                );
                assert_eq!(test.runs.count(), runs, "{effect}");
                assert_eq!(test.seen.take(), [Some(Code::Unavailable)]);
            }
        }
        assert!(test.client.pay().await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_delay_waits_and_ends_at_the_deadline() {
    on_each_transport(async |test| {
        let start = Instant::now();
        let call = with("pricing.pay=delay:30ms,*=delay:30ms").enter(|| test.client.pay());
        assert_eq!(call.await.unwrap(), 1);
        assert!(start.elapsed() >= Duration::from_millis(60));
        let late = with("pricing.pay=delay:5m");
        let call = late.enter(|| test.client.pay().timeout(Duration::from_millis(50)));
        assert_eq!(call.await.unwrap_err().code(), Code::DeadlineExceeded);
        assert_eq!(test.runs.count(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_seed_and_an_id_decide_on_every_transport() {
    let fates = Mutex::new(Vec::new());
    on_each_transport(async |test| {
        let mut fate = Vec::new();
        for index in 0..40 {
            let id = RequestId::parse(&format!("run-{index}")).unwrap();
            let plan = "pricing.quote=aborted;p=0.5;seed=42".parse().unwrap();
            let context = Context::for_request(id).with_faults(plan);
            fate.push(context.enter(|| test.client.quote()).await.is_ok());
        }
        fates.lock().unwrap().push(fate);
    })
    .await;
    let fates = fates.into_inner().unwrap();
    assert_eq!(fates[0], fates[1]);
    assert!(fates[0].contains(&true) && fates[0].contains(&false));
}

#[tokio::test]
async fn layers_see_a_fault_like_a_failing_handler() {
    async fn translate(request: Request, next: Next) -> Response {
        let mut response = next.run(request).await;
        if let Some(error) = response.error_mut() {
            *error = Error::new(Code::NotFound, format!("translated from {}", error.code()));
        }
        response
    }
    let (runs, seen) = (Runs::default(), ReportedCodes::default());
    let running = Running::start(server(&runs, &seen).layer(translate).allow_faults()).await;
    let client = PricingClient::connect(&running.url()).unwrap();
    let call = with("pricing.pay=internal").enter(|| client.pay());
    assert_eq!(
        call.await.unwrap_err().message(),
        "translated from internal"
    );
    // A layer that replaces the response does not undo its loss.
    let call = with("pricing.pay=lose").enter(|| client.pay());
    assert_eq!(call.await.unwrap_err().code(), Code::Unavailable);
}

/// Builds a raw request with this plan.
fn pay(plan: &str) -> Vec<u8> {
    post_with("/faults.v1.Pricing/Pay", &[("x-rpc-fault", plan)], "{}")
}

#[tokio::test]
async fn raw_requests_can_ask_for_faults() {
    on_each_transport(async |test| {
        let Some(running) = test.running else { return };
        let mut raw = Raw::connect(running.address()).await;
        let response = raw.ask(pay("pricing.pay=resource_exhausted")).await;
        assert_eq!(response.error(), (429, "resource_exhausted".to_owned()));
        for effect in ["drop", "lose"] {
            let mut raw = Raw::connect(running.address()).await;
            raw.send(pay(&format!("pricing.pay={effect}")))
                .await
                .unwrap();
            let arrived = raw.closed().await;
            assert!(arrived.is_empty(), "no byte of a response");
        }
        assert_eq!(test.runs.count(), 1);
        // Two calls on one HTTP/2 connection: the other one is not affected.
        let stream = tokio::net::TcpStream::connect(running.address())
            .await
            .unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        for (plan, ends) in [("pricing.pay=drop", false), ("userstore.get=drop", true)] {
            let request = http::Request::post("http://localhost/faults.v1.Pricing/Pay")
                .header("content-type", "application/json")
                .header("x-rpc-fault", plan)
                .body(())
                .unwrap();
            let mut client = client.clone().ready().await.unwrap();
            let (response, mut body) = client.send_request(request, false).unwrap();
            body.send_data("{}".into(), true).unwrap();
            assert_eq!(response.await.is_ok(), ends, "{plan}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_invalid_plan_is_rejected_with_the_reason() {
    let (runs, seen) = (Runs::default(), ReportedCodes::default());
    for allowed in [true, false] {
        let server = server(&runs, &seen);
        let server = if allowed {
            server.allow_faults()
        } else {
            server
        };
        let running = Running::start(server).await;
        let mut raw = Raw::connect(running.address()).await;
        for (plan, text) in [
            ("pricing.pay=unavailabel", "invalid effect `unavailabel`"),
            (
                "pricing.pai=drop",
                "faults.v1.Pricing has pay, quote, settle, ping",
            ),
            (
                &format!("*=drop{}", ",*=drop".repeat(200)),
                "longer than 1024 bytes",
            ),
        ] {
            let response = raw.ask(pay(plan)).await;
            assert_eq!(
                response.error(),
                (400, "invalid_argument".to_owned()),
                "{plan}"
            );
            assert!(response.message().contains(text), "{}", response.message());
        }
        let twice = [("x-rpc-fault", "*=drop"), ("x-rpc-fault", "*=lose")];
        let response = raw
            .ask(post_with("/faults.v1.Pricing/Pay", &twice, "{}"))
            .await;
        assert!(
            response.message().contains("must occur once"),
            "{}",
            response.message()
        );
    }
    assert_eq!(runs.count(), 0);
}

#[tokio::test]
async fn a_server_without_faults_rejects_a_plan_for_it() {
    let (runs, seen) = (Runs::default(), ReportedCodes::default());
    let running = Running::start(server(&runs, &seen)).await;
    let mut raw = Raw::connect(running.address()).await;
    for plan in ["pricing.pay=drop", "*=delay:1s", "pricing.*=internal;p=0"] {
        let response = raw.ask(pay(plan)).await;
        assert_eq!(
            response.error(),
            (400, "failed_precondition".to_owned()),
            "{plan}"
        );
        assert!(
            response.message().contains("--allow-faults"),
            "{}",
            response.message()
        );
    }
    assert_eq!(runs.count(), 0);
    let response = raw.ask(pay("userstore.get=drop")).await;
    assert_eq!(response.value().0, 200, "the plan names another service");
}

#[tokio::test]
async fn an_edge_ignores_a_fault_plan() {
    let (runs, seen) = (Runs::default(), ReportedCodes::default());
    let allowing = Running::start(server(&runs, &seen).allow_faults()).await;
    let client = PricingClient::connect(&allowing.url()).unwrap();
    #[rpc_service(package = "faults.v1")]
    trait Gate {
        async fn pass(&self) -> Result<u32>;
    }
    struct GateHandler(PricingClient);
    impl Gate for GateHandler {
        async fn pass(&self) -> Result<u32> {
            assert!(Context::current().faults().is_none());
            Ok(self.0.pay().await?)
        }
    }
    let gate = Server::new("gate").trust(Trust::Edge).allow_faults();
    let running = Running::start(gate.add(GateServer::new(GateHandler(client)))).await;
    let mut raw = Raw::connect(running.address()).await;
    for plan in ["*=drop", "no plan at all"] {
        let lines = [("x-rpc-fault", plan)];
        let response = raw
            .ask(post_with("/faults.v1.Gate/Pass", &lines, "{}"))
            .await;
        assert_eq!(response.status, 200, "{plan}");
    }
    assert_eq!(runs.count(), 2);
}

#[tokio::test]
async fn in_a_mounted_router_a_drop_breaks_the_response() {
    let (runs, seen) = (Runs::default(), ReportedCodes::default());
    let router = server(&runs, &seen).trust(Trust::Internal).allow_faults();
    let router = router.into_router().unwrap();
    let running = Running::start(Server::new("app").http(router)).await;
    let client = PricingClient::connect(&running.url()).unwrap();
    let error = with("pricing.pay=lose")
        .enter(|| client.pay())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error:#}");
    assert_eq!(runs.count(), 1);
}
