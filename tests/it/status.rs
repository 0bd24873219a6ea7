//! The counters of a server, as reported by `rpc.v1.Status`.

mod connections;
mod outgoing;
mod rejections;

use std::sync::Arc;

use rpc_runtime::prelude::*;
use rpc_runtime::status::{ServerStatus, Status, StatusClient};
use rpc_runtime::{Client, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post, post_with, request};
use tokio::sync::Notify;

#[rpc_service(package = "status.v1")]
trait Work {
    async fn fine(&self) -> Result<()>;
    async fn fails(&self) -> Result<()>;
    async fn held(&self) -> Result<()>;
    async fn coded(&self, code: u8) -> Result<()>;
}

#[derive(Clone, Default)]
struct Handlers(Arc<(Notify, Notify)>);

impl Work for Handlers {
    async fn fine(&self) -> Result<()> {
        Ok(())
    }

    async fn fails(&self) -> Result<()> {
        Err(Error::new(Code::Aborted, "no"))
    }

    async fn coded(&self, code: u8) -> Result<()> {
        Err(Error::new(Code::from_number(code).unwrap(), "as requested"))
    }

    async fn held(&self) -> Result<()> {
        self.0.0.notify_one();
        self.0.1.notified().await;
        Ok(())
    }
}

fn server(handlers: &Handlers) -> Server {
    Server::new("counted")
        .environment("dev")
        .instance("a1")
        .add(WorkServer::new(handlers.clone()))
}

async fn status(running: &Running) -> ServerStatus {
    let client = StatusClient::connect(&running.url()).unwrap();
    client.get().await.unwrap()
}

/// Returns the requests, those in flight and the failed ones of a row.
fn row(status: &ServerStatus, name: &str) -> (u64, u64, u64) {
    let rows = status.methods.iter();
    let row = rows.clone().find(|row| row.name == name);
    let row = row.unwrap_or_else(|| panic!("no {name} in {status:?}"));
    (row.requests, row.in_flight, row.failed())
}

const GET: &str = "/rpc.v1.Status/Get";

#[tokio::test]
async fn status_names_the_server_and_counts_calls() {
    let handlers = Handlers::default();
    let running = Running::start(server(&handlers)).await;
    let client = WorkClient::connect(&running.url()).unwrap();
    for _ in 0..3 {
        client.fine().await.unwrap();
    }
    client.fails().await.unwrap_err();
    client.ping().await.unwrap();
    let held = tokio::spawn(client.held().into_future());
    handlers.0.0.notified().await;

    let status = status(&running).await;
    assert_eq!(
        (&*status.server, &*status.environment, &*status.instance),
        ("counted", "dev", "a1")
    );
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert!(!status.uptime.is_zero());
    let names: Vec<_> = status.methods.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(
        names,
        ["Coded", "Fails", "Fine", "Held", "Ping"].map(|method| format!("status.v1.Work/{method}"))
    );
    assert_eq!(row(&status, "status.v1.Work/Fine"), (3, 0, 0));
    assert_eq!(row(&status, "status.v1.Work/Fails"), (1, 0, 1));
    assert_eq!(row(&status, "status.v1.Work/Held"), (1, 1, 0));
    assert_eq!(row(&status, "status.v1.Work/Ping"), (1, 0, 0));
    assert_eq!(status.methods[1].errors["aborted"], 1);
    let fine = &status.methods[2];
    assert!(
        fine.p50_us <= fine.p99_us && fine.p99_us.is_some(),
        "{fine:?}"
    );
    assert_eq!(status.methods[3].p50_us, None, "none has ended");
    handlers.0.1.notify_one();
    held.await.unwrap().unwrap();
}

#[tokio::test]
async fn errors_of_the_server_are_apart_from_refusals() {
    let running = Running::start(server(&Handlers::default())).await;
    let client = WorkClient::connect(&running.url()).unwrap();
    for code in Code::all() {
        client.coded(code.number()).no_retry().await.unwrap_err();
    }
    // Requests that any peer can send, with codes that a failing server has as well.
    let mut raw = Raw::connect(running.address()).await;
    let fine = "/status.v1.Work/Fine";
    let unknown = [("content-encoding", "foo")];
    assert_eq!(raw.ask(post_with(fine, &unknown, "{}")).await.status, 501);
    assert_eq!(raw.ask(post("/made.Up/Path", "{}")).await.status, 404);
    assert_eq!(raw.ask(request("PUT", fine, &[], b"")).await.status, 405);

    let status = status(&running).await;
    let counts = |name: &str| {
        let mut rows = status.methods.iter().chain(&status.total);
        let row = rows.find(|row| row.name == name).unwrap();
        (row.failed(), row.server_errors(), row.refused)
    };
    assert_eq!(counts("status.v1.Work/Coded"), (16, 6, 10));
    assert_eq!(counts(fine.strip_prefix('/').unwrap()), (2, 0, 2));
    assert_eq!(counts("unknown"), (1, 0, 1));
    assert_eq!(counts("total"), (19, 6, 13));
}

#[tokio::test]
async fn rejections_count_and_unknown_paths_share_a_row() {
    let running = Running::start(server(&Handlers::default())).await;
    let mut raw = Raw::connect(running.address()).await;
    for n in 0..5 {
        assert_eq!(
            raw.ask(post(&format!("/made.Up/{n}"), "{}")).await.status,
            404
        );
    }
    let fine = "/status.v1.Work/Fine";
    assert_eq!(raw.ask(post(fine, "[]")).await.status, 400);
    assert_eq!(raw.ask(request("PUT", fine, &[], b"")).await.status, 405);
    assert_eq!(
        raw.ask(request("GET", "/readyz", &[], b"")).await.status,
        200
    );
    let first = status(&running).await;
    assert_eq!(row(&first, "unknown"), (5, 0, 5));
    assert_eq!(row(&first, "status.v1.Work/Fine"), (2, 0, 2));
    assert_eq!(first.methods.len(), 6);
    let second = status(&running).await;
    assert_eq!(
        first.methods, second.methods,
        "probes and this are not counted"
    );
    // Raw, as a tool without the framework's client would send it.
    let response = raw
        .ask(request(
            "GET",
            &format!("{GET}?connect=v1&encoding=json&message=%7B%7D"),
            &[],
            b"",
        ))
        .await;
    assert_eq!(response.status, 200);
    assert_eq!(response.json()["result"]["server"], "counted");
    assert_eq!(
        response.json()["result"]["methods"][5]["errors"]["unimplemented"],
        5
    );
}

#[tokio::test]
async fn endless_paths_and_callers_add_no_rows() {
    const BATCH: usize = 400;
    let running = Running::start(server(&Handlers::default())).await;
    let before = status(&running).await.methods.len();
    let mut raw = Raw::connect(running.address()).await;
    for batch in 0..50 {
        let requests = (0..BATCH).flat_map(|n| {
            let source = format!("made-up-{batch}-{n}@prod/1");
            let lines = [("X-Rpc-Source", source.as_str()), ("X-Rpc-Attempt", "2")];
            post_with(&format!("/made.Up{batch}/M{n}"), &lines, "{}")
        });
        raw.send(requests.collect::<Vec<_>>()).await.unwrap();
        for _ in 0..BATCH {
            assert_eq!(raw.response().await.status, 404);
        }
    }
    let status = status(&running).await;
    assert_eq!(row(&status, "unknown"), (20_000, 0, 20_000));
    assert_eq!(status.methods.len(), before + 1);
    assert_eq!(status.outgoing, []);
}

#[tokio::test]
async fn an_edge_and_a_mounted_router_have_no_status() {
    let handlers = Handlers::default();
    let running = Running::start(server(&handlers).trust(Trust::Edge)).await;
    let response = Raw::connect(running.address())
        .await
        .ask(post(GET, "{}"))
        .await;
    assert_eq!(response.error(), (404, "unimplemented".to_owned()));
    // Two routers in one application must not share a path.
    let other = Server::new("other").trust(Trust::Internal);
    let app = server(&handlers)
        .trust(Trust::Internal)
        .into_router()
        .unwrap()
        .merge(other.into_router().unwrap());
    let running = Running::start(Server::new("app").http(app)).await;
    let client = WorkClient::connect(&running.url()).unwrap();
    client.fine().await.unwrap();
    let status = status(&running).await;
    assert_eq!(status.server, "app", "the outer server's own");
    assert_eq!(row(&status, "http"), (1, 0, 0));
}

#[tokio::test]
async fn in_process_servers_have_separate_status() {
    let [one, other] = [(); 2].map(|()| server(&Handlers::default()).into_local_client().unwrap());
    WorkClient::with_client(one.clone()).fine().await.unwrap();
    let get = async |client: Client| StatusClient::with_client(client).get().await.unwrap();
    assert_eq!(row(&get(one).await, "status.v1.Work/Fine"), (1, 0, 0));
    assert_eq!(row(&get(other).await, "status.v1.Work/Fine"), (0, 0, 0));
}

struct Own;

impl Status for Own {
    async fn get(&self) -> Result<ServerStatus> {
        fail!(Code::Unavailable, "of our own")
    }
}

#[tokio::test]
async fn a_server_may_implement_status_itself() {
    let running =
        Running::start(Server::new("own").add(rpc_runtime::status::StatusServer::new(Own))).await;
    let client = StatusClient::connect(&running.url()).unwrap();
    let error = client.get().no_retry().await.unwrap_err();
    assert_eq!(error.message(), "of our own");
}
