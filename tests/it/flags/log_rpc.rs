//! The lines of the flag `log_rpc`.

use std::time::Duration;

use rpc_runtime::prelude::*;
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post};
use rpc_tests::wait::until;

use super::{Handlers, LimitedClient, LimitedServer, LogBuffer, Sealed, server, started};

#[tokio::test]
async fn g01_log_rpc_logs_both_sides_and_no_secret() {
    let (logs, _guard) = LogBuffer::start();
    let last = Running::start(server("last").flag(&rpc_runtime::flags::LOG_RPC, true)).await;
    let next = LimitedClient::connect(&last.url()).unwrap();
    let first = Server::new("first").add(LimitedServer::new(Handlers(Some(next))));
    let (_running, flags, limited) = started(first).await;
    limited.pass_on().await.unwrap();
    assert_eq!(logs.lines("RPC ").len(), 1, "of `first` it is off");

    flags.set("log_rpc", "true").await.unwrap();
    let id = limited.pass_on().with_response().await.unwrap().request_id;
    let lines = logs.lines(&format!("RPC {id} "));
    let open = r#"first->limited:open(user="ada\nforged", password=***, token="***") ok "#;
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for (line, expected) in lines
        .iter()
        .zip([open, open, "tool->limited:pass_on() ok "])
    {
        assert!(line.contains(expected), "{line}");
    }
    assert!(lines[0].contains(r#"side="server""#) && lines[1].contains(r#"side="client""#));

    limited
        .seal(Sealed {
            user: "é".repeat(300),
            password: "canary-sealed".to_owned().into(),
        })
        .await
        .unwrap();
    let line = logs.lines(":seal(").pop().unwrap();
    assert!(
        line.contains("ééé") && line.contains("…) ok ") && line.len() < 600,
        "{line}"
    );
    limited
        .seal(Sealed {
            user: "a".to_owned(),
            password: "canary-sealed".to_owned().into(),
        })
        .await
        .unwrap();
    let line = logs.lines(":seal(").pop().unwrap();
    assert!(
        line.contains(r#":seal({"user":"a","password":"***"}) ok "#),
        "{line}"
    );

    limited.open("", "canary-password", None).await.unwrap_err();
    let line = logs.lines(r#"open(user="", password=***)"#).pop().unwrap();
    assert!(line.contains(") not_found "), "{line}");
    limited.ping().await.unwrap();
    assert!(logs.lines("tool->limited:ping() ok ").len() == 1);
    assert!(!logs.text().contains("canary"), "{}", logs.text());
    // Arguments that cannot be decoded are not logged, nor are those of a call that is refused
    // before decoding.
    let mut raw = Raw::connect(_running.address()).await;
    raw.ask(post(
        "/flags.v1.Limited/Open",
        r#"{"password":"canary-password","user":5}"#,
    ))
    .await;
    let line = logs.lines("open(password=***, …) invalid_argument").pop();
    assert!(line.is_some(), "{}", logs.text());
    assert!(!logs.text().contains("canary"), "{}", logs.text());
}

#[tokio::test]
async fn a_cancelled_call_writes_its_line_too() {
    let (logs, _guard) = LogBuffer::start();
    let running = Running::start(server("one").flag(&rpc_runtime::flags::LOG_RPC, true)).await;
    let client = LimitedClient::connect(&running.url()).unwrap();
    // A call may expire before the server sees it.
    let mut timeout = Duration::from_millis(50);
    until(async || {
        client.hangs().timeout(timeout).await.unwrap_err();
        timeout *= 2;
        !logs.lines("->limited:hangs() ").is_empty()
    })
    .await;
    let line = logs.lines("->limited:hangs() ").pop().unwrap();
    assert!(
        line.contains("deadline_exceeded") || line.contains("canceled"),
        "{line}"
    );
}
