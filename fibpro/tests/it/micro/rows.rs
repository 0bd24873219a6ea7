//! Rows of the tutorial's table that need all services.

use std::time::Duration;

use fibpro::api::controller::ControllerError;
use fibpro::api::logsink::LogSinkServer;
use fibpro::api::pricing::PricingError;
use fibpro::service::logsink::{PrintQueue, Sink};
use fibpro::tool::monitor::{Monitor, ServiceReport, write_table};
use rpc_runtime::axum::body::{Body, to_bytes};
use rpc_runtime::axum::http::Request;
use rpc_runtime::prelude::*;
use rpc_runtime::{Context, RequestId};
use rpc_tests::Running;
use tower::ServiceExt as _;

use super::harness::FibPro;
use crate::system::{LOGIN, Log, System};

#[tokio::test]
async fn c09_adding_a_user_prints_no_password() {
    let log = Log::start();
    let fibpro = FibPro::start(4).await;
    assert_eq!(fibpro.get_with("/1", &[LOGIN]).await.status, 200);
    let text = log.text();
    assert!(
        text.contains("Added user: username with credit 4"),
        "{text}"
    );
    assert!(
        !text.contains("password") && !text.contains(LOGIN.1),
        "{text}"
    );
}

#[tokio::test]
async fn c13_the_line_of_a_failed_request_is_complete() {
    let fibpro = FibPro::start(4).await;
    let log = Log::start();
    let response = fibpro
        .buy_despite("compute_worker.*=internal", "/1", "k")
        .await;
    assert_eq!(response.status, 500);
    let id = response.header("x-request-id");
    let lines = log.lines_with(&["rpc.method=\"http GET\""]);
    let line = lines
        .iter()
        .find(|line| line.contains("side=\"server\""))
        .unwrap();
    for words in [id, "code=\"internal\"", "duration_us=", "http.status=500"] {
        assert!(line.contains(words), "{words}: {line}");
    }
}

#[tokio::test]
async fn d01_a_message_is_one_post_with_a_json_body() {
    let (printer, _writing) = PrintQueue::start(std::io::sink(), None).unwrap();
    let server = Server::new("logsink").add(LogSinkServer::new(Sink::new(printer, None)));
    let router = server.into_router().unwrap();
    for (message, expected) in [
        ("test_msg", r#"{"result":true}"#),
        ("", r#"{"result":false}"#),
    ] {
        let request = Request::post("/fibpro.v1.LogSink/RecvLog")
            .header("host", "logsink")
            .header("content-type", "application/json")
            .body(Body::from(format!(
                r#"{{"level":"info","message":"{message}"}}"#
            )))
            .unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = to_bytes(response.into_body(), 1024).await.unwrap();
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn d02_every_service_responds_to_ping() {
    let fibpro = FibPro::start(4).await;
    let pongs = [
        fibpro.users.ping().await.unwrap(),
        fibpro.pricing.ping().await.unwrap(),
        fibpro.worker.ping().await.unwrap(),
        fibpro.controller.ping().await.unwrap(),
    ];
    assert_eq!(
        pongs.map(|pong| pong.service),
        ["UserStore", "Pricing", "ComputeWorker", "Controller"]
            .map(|name| format!("fibpro.v1.{name}"))
    );
}

#[tokio::test]
async fn e01_e05_f06_an_error_keeps_type_code_id_and_hops() {
    let fibpro = FibPro::start(0).await;
    let context = Context::for_request(RequestId::random());
    let sale = async { fibpro.controller.generate("username", 10, "k").await };
    let error = context.clone().scope(sale).await.unwrap_err();
    // A typed error, not a list that contains a text.
    let ControllerError::Pricing(PricingError::InsufficientCredit {
        n,
        price,
        username,
        credit,
    }) = &*error
    else {
        panic!("{error:?}");
    };
    assert_eq!(
        (*n, *price, username.as_str(), *credit),
        (10, 2, "username", 0)
    );
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert_eq!(error.code().http_status(), 400);
    let hops: Vec<_> = error.hops().iter().map(|hop| hop.method.as_str()).collect();
    assert_eq!(
        hops,
        [
            "fibpro.v1.Controller/Generate",
            "fibpro.v1.Pricing/Pay",
            "fibpro.v1.UserStore/Reserve"
        ]
    );
    let printed = format!("{error:#}");
    for words in [
        context.request_id(),
        "fibpro/src/service/controller.rs:",
        "fibpro/src/service/pricing.rs:",
        "userstore@prod",
    ] {
        assert!(printed.contains(words), "{words}: {printed}");
    }
}

#[tokio::test]
async fn e04_an_edge_error_has_a_status_and_no_internals() {
    let fibpro = FibPro::start(4).await;
    for effect in ["internal", "unavailable", "drop", "data_loss"] {
        let plan = format!("userstore.reserve={effect}");
        let response = fibpro.buy_despite(&plan, "/10", effect).await;
        assert!(response.status >= 500, "{response:?}");
        for inside in [
            "userstore",
            "pricing",
            "controller",
            "injected",
            ".rs",
            "Reserve",
        ] {
            assert!(!response.text.contains(inside), "{response:?}");
        }
    }
    assert_eq!(fibpro.credit().await, 4);
}

#[tokio::test]
async fn f01_the_user_store_finds_and_verifies_users() {
    let fibpro = FibPro::start(4).await;
    let users = &fibpro.users;
    assert_eq!(users.get_user("nobody").await.unwrap(), None);
    let user = users.get_user("username").await.unwrap().unwrap();
    assert_eq!((user.username.as_str(), user.credit), ("username", 4));
    assert_eq!(users.set_credit("username", 7).await.unwrap().credit, 7);
    assert_eq!(users.reserve("username", 2, "k").await.unwrap().credit, 5);
    assert_eq!(users.settle("k").await.unwrap().credit, 5);
    let unknown = users.set_credit("nobody", 1).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn g03_g06_every_call_of_a_request_has_its_id() {
    let fibpro = FibPro::start(4).await;
    let log = Log::start();
    let response = fibpro.get("/10").await;
    let id = response.header("x-request-id");
    for method in [
        "UserStore/Verify",
        "Controller/Generate",
        "Pricing/Pay",
        "UserStore/Reserve",
        "ComputeWorker/ComputeFib",
        "Pricing/Settle",
        "UserStore/Settle",
    ] {
        let lines = log.lines_with(&[method]);
        assert!(!lines.is_empty(), "{method}: {}", log.text());
        assert!(lines.iter().all(|line| line.contains(id)), "{lines:?}");
    }
    // The response to a refused login has an id as well.
    let response = fibpro.get_with("/10", &[]).await;
    assert_eq!(
        (response.status, response.header("x-request-id").len()),
        (401, 16)
    );
}

#[tokio::test]
async fn h01_h02_the_monitor_shows_every_service() {
    let system = System::start(4).await;
    let names = ["userstore", "pricing", "compute_worker", "controller"];
    let urls = system.internal.map(|address| format!("http://{address}"));
    let targets = || names.into_iter().zip(urls.clone());
    let all = Monitor::new(targets(), None, Duration::from_secs(20)).unwrap();
    assert!(all.probe().await.iter().all(|seen| seen.up));
    // One server, in the middle of the list, is down.
    let gone = Running::start(Server::new("gone")).await;
    let address = gone.url();
    gone.stop().await;
    let targets = targets().chain([("logsink", address)]);
    let monitor = Monitor::new(targets, None, Duration::from_secs(20)).unwrap();
    let seen = monitor.probe().await;
    let up = |seen: &[ServiceReport]| seen.iter().filter(|seen| seen.up).count();
    assert_eq!((seen.len(), up(&seen)), (5, 4));
    let mut table = Vec::new();
    write_table(&seen, "\n", &mut table).unwrap();
    let table = String::from_utf8(table).unwrap();
    for name in names.iter().chain(&["logsink"]) {
        assert!(table.contains(name), "{table}");
    }
}
