use rpc_runtime::Client;
use rpc_runtime::middleware::{Next, Request};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, request};

use super::{VaultClient, captured, captured_with, keys, unauthenticated, vault};

#[tokio::test]
async fn a_call_changed_in_transit_is_rejected() {
    let call = captured().await;
    let source = call
        .split("x-rpc-source: ")
        .nth(1)
        .unwrap()
        .split("\r\n")
        .next()
        .unwrap();
    let id = call
        .split("x-request-id: ")
        .nth(1)
        .unwrap()
        .split("\r\n")
        .next()
        .unwrap();
    let timeout = call
        .split("connect-timeout-ms: ")
        .nth(1)
        .unwrap()
        .split("\r\n")
        .next()
        .unwrap();
    let changes = [
        call.replace(r#""left""#, r#""back""#),
        call.replace("/Open", "/Look"),
        call.replace(source, "gatekeeper@prod/1"),
        call.replace(id, "0000000000000000"),
        call.replace(&format!("ms: {timeout}"), "ms: 99999"),
        call.replace("x-rpc-hops: 1", "x-rpc-hops: 0"),
        call.replace("x-rpc-hops: 1\r\n", ""),
        call.replace("x-rpc-hops: 1", "x-rpc-hops: 1\r\nx-rpc-environment: dev"),
        call.replace("x-rpc-hops: 1", "x-rpc-hops: 1\r\nbaggage: role=admin"),
        call.replace("x-rpc-hops: 1", "x-rpc-hops: 1\r\nx-rpc-fault: *=drop"),
        call.replace("x-rpc-hops: 1", "x-rpc-hops: 1\r\ncontent-encoding: gzip"),
        call.replace("x-rpc-identity: v1.k1.", "x-rpc-identity: v1.k2."),
        call.replace(
            "x-rpc-identity: v1.",
            "x-rpc-identity: v1.x\r\nx-rpc-identity: v1.",
        ),
    ];
    let running = Running::start(vault()).await;
    let mut raw = Raw::connect(running.address()).await;
    for (index, changed) in changes.into_iter().enumerate() {
        assert_ne!(changed, call, "{index}");
        // The call was captured elsewhere, so this server does not reject it as a replay.
        let response = raw.ask(changed).await;
        assert_eq!(response.error(), unauthenticated(), "{index}");
        let text = response.json()["message"].as_str().unwrap().to_owned();
        assert!(
            !text.contains("replayed call") || index > 0,
            "{index}: {text}"
        );
    }
}

#[tokio::test]
async fn a_signature_covers_application_metadata() {
    let with_headers = || {
        captured_with(|call| {
            let call = call.header("authorization", "Bearer a");
            let call = call.header("X-Tenant", "blue").header("x-tenant", "red");
            call.header_bin("x-trace-bin", &[0, 255])
        })
    };
    let running = Running::start(vault()).await;
    let mut raw = Raw::connect(running.address()).await;
    let call = with_headers().await;
    for (from, to) in [
        ("authorization: Bearer a", "authorization: Bearer b"),
        ("authorization: Bearer a\r\n", ""),
        (
            "authorization: Bearer a",
            "authorization: Bearer a\r\nauthorization: Bearer b",
        ),
        (
            "x-tenant: blue\r\nx-tenant: red",
            "x-tenant: red\r\nx-tenant: blue",
        ),
        ("x-tenant: red\r\n", ""),
        ("x-trace-bin: AP8", "x-trace-bin: AAA"),
        ("authorization,x-tenant,x-trace-bin", "x-tenant,x-trace-bin"),
        (
            "authorization,x-tenant,x-trace-bin",
            "authorization,cookie,x-tenant,x-trace-bin",
        ),
    ] {
        let changed = call.replace(from, to);
        assert_ne!(changed, call, "{from}");
        assert_eq!(
            raw.ask(changed).await.error(),
            unauthenticated(),
            "{from} {to}"
        );
    }
    assert_eq!(raw.ask(call).await.status, 200);
}

#[tokio::test]
async fn a_handler_reads_signed_metadata_only() {
    let (seen, mut metadata) = tokio::sync::mpsc::unbounded_channel();
    let observe = move |request: Request, next: Next| {
        let names = request.context().metadata().iter();
        let names: Vec<_> = names.map(|(name, _)| name.to_owned()).collect();
        // The receiver lives as long as the server.
        let _ = seen.send(names);
        next.run(request)
    };
    let running = Running::start(vault().layer(observe)).await;
    let mut raw = Raw::connect(running.address()).await;
    let added = "x-rpc-hops: 1\r\nauthorization: Bearer b\r\nx-forwarded-for: 1.2.3.4";
    for (call, expected) in [
        (captured().await, Vec::new()),
        (
            captured_with(|call| call.header("x-tenant", "a")).await,
            vec!["x-tenant"],
        ),
    ] {
        let response = raw.ask(call.replace("x-rpc-hops: 1", added)).await;
        assert_eq!(response.status, 200);
        assert_eq!(metadata.recv().await.unwrap(), expected);
    }
    // Over HTTP/2 as well.
    let client = Client::new(&running.url()).unwrap().identity(keys());
    let vault = VaultClient::with_client(client.http2());
    vault.open("left").header("x-tenant", "b").await.unwrap();
    assert_eq!(metadata.recv().await.unwrap(), ["x-tenant"]);
}

#[tokio::test]
async fn a_replayed_call_is_rejected() {
    let call = captured().await;
    let running = Running::start(vault()).await;
    let mut raw = Raw::connect(running.address()).await;
    assert_eq!(raw.ask(&call).await.status, 200);
    let response = raw.ask(&call).await;
    assert_eq!(response.error(), unauthenticated());
    assert!(
        response.json()["message"]
            .as_str()
            .unwrap()
            .contains("replayed call")
    );
    // A proxy may add headers.
    let call = captured()
        .await
        .replace("x-rpc-hops", "x-forwarded-for: 1.2.3.4\r\nx-rpc-hops");
    assert_eq!(raw.ask(&call).await.status, 200);
}

#[tokio::test]
async fn a_signature_of_a_get_covers_its_query() {
    let running = Running::start(vault()).await;
    let mut raw = Raw::connect(running.address()).await;
    let get = request(
        "GET",
        "/identity.v1.Vault/Look?encoding=json&message=%7B%7D",
        &[],
        b"",
    );
    assert_eq!(raw.ask(get).await.error(), unauthenticated());
    // The signature of a POST is not valid for a GET.
    let call = captured().await;
    let header = call
        .split("x-rpc-identity: ")
        .nth(1)
        .unwrap()
        .split("\r\n")
        .next()
        .unwrap();
    let lines = [("X-Rpc-Identity", header)];
    let get = request(
        "GET",
        "/identity.v1.Vault/Look?encoding=json&message=%7B%7D",
        &lines,
        b"",
    );
    assert_eq!(raw.ask(get).await.error(), unauthenticated());
}
