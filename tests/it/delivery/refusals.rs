use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rpc_runtime::middleware::{Next, Request};
use rpc_runtime::prelude::*;
use rpc_runtime::{Callers, Client, Limits, Policy, RateLimit};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, Response, post, post_with, request};
use tokio::sync::{Semaphore, mpsc};

use super::shop::quick;

#[rpc_service(package = "refusals.v1")]
trait Work {
    /// May not be repeated.
    async fn work(&self, hold: bool) -> Result<usize>;
    async fn fail(&self, says_so: bool) -> Result<()>;
    async fn pay(&self, #[rpc(idempotency_key)] key: &str, cents: u64) -> Result<u64>;
}

#[derive(Clone)]
struct Worker {
    runs: Arc<AtomicUsize>,
    begun: mpsc::UnboundedSender<()>,
    go: Arc<Semaphore>,
}

impl Worker {
    fn new() -> (Self, mpsc::UnboundedReceiver<()>) {
        let (sender, begun) = mpsc::unbounded_channel();
        let worker = Self {
            runs: Arc::default(),
            begun: sender,
            go: Arc::new(Semaphore::new(0)),
        };
        (worker, begun)
    }

    fn server(&self) -> Server {
        Server::new("work").add(WorkServer::new(self.clone()))
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

impl Work for Worker {
    async fn work(&self, hold: bool) -> Result<usize> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        if hold {
            let _ = self.begun.send(());
            let _ = self.go.acquire().await;
        }
        Ok(run)
    }

    async fn fail(&self, says_so: bool) -> Result<()> {
        let error = Error::new(Code::Unavailable, "not now");
        Err(if says_so { error.not_executed() } else { error })
    }

    async fn pay(&self, _: &str, cents: u64) -> Result<u64> {
        Ok(cents)
    }
}

const WORK: &str = "/refusals.v1.Work/Work";
const FAIL: &str = "/refusals.v1.Work/Fail";
const PAY: &str = "/refusals.v1.Work/Pay";

fn outcome(response: &Response) -> (String, Option<&str>) {
    (response.error().1, response.header("x-rpc-outcome"))
}

const NOT_EXECUTED: Option<&str> = Some("not-executed");

#[tokio::test]
async fn a_response_says_that_the_call_was_not_executed() {
    let (worker, _begun) = Worker::new();
    let mut limits = Limits::default();
    limits.message_bytes = 1_000;
    let policy = Policy::new()
        .allow("refusals.v1.Work/Work", Callers::anyone())
        .deny("refusals.v1.Work/Fail")
        .deny("refusals.v1.Work/Pay");
    let rated = RateLimit::per_minute(1).method("refusals.v1.Work/Work");
    let open = Running::start(worker.server().limits(limits)).await;
    let closed = Running::start(worker.server().policy(policy)).await;
    let limited = Running::start(worker.server().rate_limit(rated)).await;
    let large = format!("{{\"hold\":false,\"x\":\"{}\"}}", "x".repeat(2_000));
    let late = [("connect-timeout-ms", "0")];
    let other = r#"{"key":"k","cents":2}"#;
    // They use the key, and all calls of a minute.
    for (server, request) in [
        (&open, post(PAY, r#"{"key":"k","cents":1}"#)),
        (&limited, post(WORK, r#"{"hold":false}"#)),
    ] {
        let response = Raw::connect(server.address()).await.ask(request).await;
        assert_eq!(response.status, 200);
    }
    for (server, request, code, due) in [
        (&open, post(WORK, "{"), "invalid_argument", NOT_EXECUTED),
        (&open, post(WORK, "{}"), "invalid_argument", NOT_EXECUTED),
        (&open, post(WORK, large), "resource_exhausted", NOT_EXECUTED),
        (
            &open,
            post("/refusals.v1.Work/Nothing", "{}"),
            "unimplemented",
            NOT_EXECUTED,
        ),
        (
            &open,
            post_with(WORK, &late, r#"{"hold":false}"#),
            "deadline_exceeded",
            NOT_EXECUTED,
        ),
        (
            &open,
            post(PAY, r#"{"key":"","cents":1}"#),
            "invalid_argument",
            NOT_EXECUTED,
        ),
        (&open, post(PAY, other), "aborted", NOT_EXECUTED),
        (
            &closed,
            post(FAIL, r#"{"says_so":false}"#),
            "permission_denied",
            NOT_EXECUTED,
        ),
        (
            &limited,
            post(WORK, r#"{"hold":false}"#),
            "resource_exhausted",
            NOT_EXECUTED,
        ),
        // The handler began.
        (
            &open,
            post(FAIL, r#"{"says_so":true}"#),
            "unavailable",
            NOT_EXECUTED,
        ),
        (
            &open,
            post(FAIL, r#"{"says_so":false}"#),
            "unavailable",
            None,
        ),
    ] {
        let response = Raw::connect(server.address()).await.ask(request).await;
        assert_eq!(outcome(&response), (code.to_owned(), due));
    }
    // A response without the error of the protocol has no statement that a client would trust.
    let mut raw = Raw::connect(open.address()).await;
    let response = raw.ask(request("PUT", WORK, &[], b"")).await;
    assert_eq!(
        (response.status, response.header("x-rpc-outcome")),
        (405, None)
    );
}

/// A full server refuses a call that may not be repeated; the client sends it elsewhere.
#[tokio::test]
async fn a_full_server_passes_calls_on_to_another() {
    let (full, mut begun) = Worker::new();
    let (free, _begun) = Worker::new();
    let mut limits = Limits::default();
    (limits.running_calls, limits.queued_calls) = (1, 0);
    let full_server = Running::start(full.server().limits(limits)).await;
    let free_server = Running::start(free.server()).await;
    let holding = WorkClient::connect(&full_server.url()).unwrap();
    let held = tokio::spawn(holding.work(true));
    begun.recv().await.unwrap();
    let urls = [full_server.url(), free_server.url()];
    for http2 in [false, true] {
        let client = Client::from_urls(&urls).unwrap().retry(quick());
        let client = if http2 { client.http2() } else { client };
        let client = WorkClient::with_client(client);
        for _ in 0..10 {
            client.work(false).await.unwrap();
        }
    }
    assert_eq!((full.runs(), free.runs()), (1, 20));
    full.go.add_permits(1);
    held.await.unwrap().unwrap();
}

/// A call that its server has refused at the deadline does not begin later.
#[tokio::test]
async fn a_refused_call_never_begins() {
    let (worker, _begun) = Worker::new();
    let (go, done) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (gate, ended) = (Arc::clone(&go), Arc::clone(&done));
    // A layer that goes on when its caller has left.
    let server = worker.server().layer(move |request: Request, next: Next| {
        let (gate, ended) = (Arc::clone(&gate), Arc::clone(&ended));
        async move {
            let task = rpc_runtime::spawn(async move {
                let _ = gate.acquire().await;
                let response = next.run(request).await;
                ended.add_permits(1);
                response
            });
            task.await.unwrap()
        }
    });
    let running = Running::start(server).await;
    let mut raw = Raw::connect(running.address()).await;
    let soon = [("connect-timeout-ms", "100")];
    let response = raw.ask(post_with(WORK, &soon, r#"{"hold":false}"#)).await;
    let late = "deadline_exceeded".to_owned();
    assert_eq!(outcome(&response), (late, NOT_EXECUTED));
    go.add_permits(1);
    done.acquire().await.unwrap().forget();
    assert_eq!(worker.runs(), 0);
    // A call in time runs.
    go.add_permits(1);
    let response = raw.ask(post(WORK, r#"{"hold":false}"#)).await;
    assert_eq!(response.value().0, 200);
    assert_eq!(worker.runs(), 1);
}
